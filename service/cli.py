"""The command `kerasd`: serve, supervisor, health, openapi, version."""

import argparse
import sys
from collections.abc import Callable, Sequence

from service.config import ConfigError, Settings

# Imports inside the functions keep `kerasd health` and `kerasd version` quick: only what a command needs is loaded.


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and give its exit code: 0 done, 1 it failed, 2 the command line or a setting is wrong."""
    given = parser().parse_args(arguments)
    try:
        settings = Settings.from_environment(
            host=getattr(given, "host", None), port=getattr(given, "port", None), data=getattr(given, "data", None)
        )
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    command: Callable[[Settings], int] = given.command
    return command(settings)


def _serve(settings: Settings) -> int:
    from service import serve

    try:
        return serve.serve(settings)
    except serve.ServeError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        # Ctrl-C came while the database was being prepared, before anything ran.
        return 130


def _supervisor(settings: Settings) -> int:
    from service import log
    from service.training import supervisor

    log.configure(settings.log_level)
    supervisor.main(settings)
    return 0


def _health(settings: Settings) -> int:
    from service.serve import is_ready

    ready = is_ready(settings.local_url, seconds=5)
    print("ready" if ready else f"not ready: {settings.local_url}/health/ready does not answer 200")
    return 0 if ready else 1


def _openapi(settings: Settings) -> int:
    from service.app import openapi_yaml

    sys.stdout.write(openapi_yaml())
    return 0


def _version(settings: Settings) -> int:
    from importlib.metadata import version

    print(version("kerasd"))
    return 0


def parser() -> argparse.ArgumentParser:
    """The command line; what it parses has the function to run as `command`."""
    parser = argparse.ArgumentParser(
        prog="kerasd", description="Train neural networks, and predict with them, over HTTP.", allow_abbrev=False
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    serve = _command(commands, "serve", _serve, "run the server: the web processes and the supervisor of jobs")
    serve.add_argument("--host", help="address to listen on (KERASD_HOST)")
    serve.add_argument("--port", help="port to listen on (KERASD_PORT)")
    serve.add_argument("--data", help="folder of the database, data sets and models (KERASD_DATA)")
    _command(commands, "supervisor", _supervisor, "run the supervisor of jobs alone; serve does this by itself")
    _command(commands, "health", _health, "exit with 0 if the server is ready, else with 1")
    _command(commands, "openapi", _openapi, "print the OpenAPI document as YAML")
    _command(commands, "version", _version, "print the version")
    return parser


def _command(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    run: Callable[[Settings], int],
    text: str,
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
    parser.set_defaults(command=run)
    return parser


if __name__ == "__main__":
    sys.exit(main())
