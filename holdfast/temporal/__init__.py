"""Temporal seen from outside: how to connect (`connect`), where a dev server comes from (`binary`, `devserver`),
and what a workflow can be searched by (`attributes`)."""
