"""The command line: what a person types, and the one sentence they get back when something is wrong."""
