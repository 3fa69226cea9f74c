"""Live values: the newest reading of every tag, from the site log to many clients at their own pace."""
