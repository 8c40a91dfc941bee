"""AgentMem: long-term memory for AI agents, as a library."""
