"""Lists pods each second and watches them, until it is stopped.

Prints "listed N", "saw TICK" and "failed CODE WHY", which the runner judges.
"""

import os
import threading
import time

import urllib3
from kubernetes import client, config, watch

NAMESPACE = os.environ["INTEROP_NAMESPACE"]


def say(*words):
    print(*words, flush=True)


def failed(err):
    say("failed", getattr(err, "status", 0) or 0, str(err).replace("\n", " "))


def configure():
    config.load_kube_config()  # KUBECONFIG
    token_file = os.environ.get("INTEROP_TOKEN_FILE")
    if not token_file:
        return client.ApiClient()
    # A kubeconfig's tokenFile is read once. The hook is called before each request.
    configuration = client.Configuration.get_default_copy()

    def read(c):
        with open(token_file, encoding="utf-8") as f:
            c.api_key["BearerToken"] = "Bearer " + f.read().strip()

    configuration.refresh_api_key_hook = read
    return client.ApiClient(configuration)


def follow(api):
    while True:
        try:
            # Reopens by itself what the server closes.
            for event in watch.Watch().stream(api.list_namespaced_pod, NAMESPACE):
                notes = event["object"].metadata.annotations or {}
                say("saw", notes.get("interop/tick", 0))
        except client.ApiException as err:
            failed(err)
            time.sleep(1)
        except (urllib3.exceptions.HTTPError, OSError):
            time.sleep(1)  # a broken connection: list and watch anew


def main():
    api = client.CoreV1Api(configure())
    threading.Thread(target=follow, args=(api,), daemon=True).start()
    while True:
        try:
            say("listed", len(api.list_namespaced_pod(NAMESPACE).items))
        except (client.ApiException, urllib3.exceptions.HTTPError, OSError) as err:
            failed(err)
        time.sleep(1)


main()
