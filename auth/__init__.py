"""Who you are. Usable from a script, without GraphQL."""

from auth.account import Accounts
from auth.client import Client, Proxies
from auth.session import Tokens, Viewer
from auth.tokens import AccessTokens, Claims

__all__ = ["AccessTokens", "Accounts", "Claims", "Client", "Proxies", "Tokens", "Viewer"]
