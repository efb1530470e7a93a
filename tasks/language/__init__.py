"""The stages of the language pipeline; gate, promotion and report are those of the tabular one."""
