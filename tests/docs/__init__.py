"""The documentation, held to its word: snippets are run, references compared with the code, links followed."""
