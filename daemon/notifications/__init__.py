"""Tells an owner what happened, by ntfy, e-mail, a webhook, Telegram and others, through apprise."""
