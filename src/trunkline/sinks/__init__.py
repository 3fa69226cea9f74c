"""Where records leave the platform: one folder a target."""
