"""Identities, passwords, tokens, secrets."""
