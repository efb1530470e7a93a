"""Texts that are made private before anyone learns from them, one by one, each by its speaker's own noise."""
