"""Makes twenty clients in one process, as a program does for each of its threads.

Prints for each the access key that signed its token.
"""

import base64
import re

from kubernetes import config

for _ in range(20):
    client = config.new_client_from_config()  # KUBECONFIG
    (token,) = client.configuration.api_key.values()
    text = token.removeprefix("Bearer ").removeprefix("k8s-aws-v1.")
    url = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
    print(re.search("X-Amz-Credential=([A-Z0-9]+)", url)[1], flush=True)
