from tests.historian.conftest import conninfo, server

__all__ = ["conninfo", "server"]
