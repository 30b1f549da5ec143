"""An upload or a URL becomes one file: source, form, spool, fetch, fetch_policy."""
