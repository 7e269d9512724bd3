"""Ollama's API over engines that speak OpenAI's: requests in, answers and lists out."""
