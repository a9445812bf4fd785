"""An agency's own sign-in (OpenID Connect Core 1.0): the reception is its client, the pages lead there and back."""
