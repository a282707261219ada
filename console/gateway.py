"""`andon gateway`: alerts in monitoring systems' own formats, taken over HTTP."""

import typer

from console.check_mapping import check_mapping
from console.failures import out_of_reach, wrong_usage
from console.output import examples
from producers.faults import SpoolUnusable
from producers.gateway.configuration import GatewayFileError
from worker.settings import load_gateway_settings

app = typer.Typer(
    epilog=examples(
        "andon gateway                              take alerts until stopped",
        "andon gateway check-mapping mapping.toml   check how they are mapped",
    ),
)


@app.callback(invoke_without_command=True)
def gateway(context: typer.Context) -> None:
    """Take alerts over HTTP, and publish the requests that they are mapped to, until stopped.

    ANDON_GATEWAY_FILE names the sources that may come in, each with its credentials and its
    mapping. SIGTERM (or Ctrl-C) answers what is under way, and ends. Run as many as are needed.
    """
    if context.invoked_subcommand is not None:
        return
    # Here, so that no other command waits for a web server to be loaded.
    from worker.gateway import NotListening, run_gateway

    try:
        run_gateway(load_gateway_settings())
    except (GatewayFileError, NotListening) as error:
        raise wrong_usage(str(error)) from None
    except SpoolUnusable as error:
        raise out_of_reach(str(error)) from None


app.command(
    "check-mapping",
    epilog=examples(
        "andon gateway check-mapping mapping.toml                       its faults, its ids",
        "andon gateway check-mapping mapping.toml --payload alert.json  what would be published",
        "curl … | andon gateway check-mapping mapping.toml --payload -  from standard input",
    ),
)(check_mapping)
