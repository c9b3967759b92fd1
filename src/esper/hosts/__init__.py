"""Programs that start MCP servers: their configuration files, read and changed with everything else kept."""
