"""The same graph for each orchestrator, as programs of their own: some run in an environment without this project.

A day has 24 ingests, 24 loads that need one ingest each, a feature table that needs all loads, a model, a bundle: 51
tasks that write a line to a file. Each program prints how many files there are and what it spent from the first call
of its orchestrator on, its children included.
"""
