"""Public LeWM weights in and out: files, hub, config.json, export."""
