"""Who takes part in a training, on which machine, and by which certificate the others know it.

`file` is `parties.yaml`, `certificates` what it names, `check` what is wrong with either before anyone starts.
"""
