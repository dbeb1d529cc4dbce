"""One module a subcommand: `register(subparsers)` describes its arguments, its function runs it."""
