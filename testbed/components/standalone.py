# makes a provider's manifests self-contained: variables filled in, image named, certificates made here
# usage: standalone.py IMAGE OUTPUT NAME=VALUE... < kustomize output
"""cert-manager would issue the webhooks' serving certificates; without a registry it cannot run, so they are issued here."""
import base64
import pathlib
import re
import subprocess
import sys
import tempfile

import yaml

image, output = sys.argv[1:3]
values = dict(pair.split("=", 1) for pair in sys.argv[3:])
FIRST = ["Namespace", "CustomResourceDefinition", "ServiceAccount", "Secret"]


def fill(text):
    return re.sub(r"\$\{(\w+):?=([^}]*)\}", lambda m: values.get(m[1], m[2]), text)


class Authority:
    """A certificate authority in a folder of its own."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.openssl("req -x509 -newkey rsa:2048 -nodes -days 3650 -subj /CN=stackgate-testbed -keyout ca.key -out ca.crt")

    def openssl(self, arguments):
        subprocess.run(["openssl", *arguments.split()], cwd=self.folder, check=True, stderr=subprocess.DEVNULL)

    def read(self, name):
        return base64.b64encode((self.folder / name).read_bytes()).decode()

    def issue(self, names):
        (self.folder / "names").write_text("subjectAltName=" + ",".join("DNS:" + n for n in names))
        self.openssl("req -newkey rsa:2048 -nodes -subj /CN=webhook -keyout tls.key -out tls.csr")
        self.openssl("x509 -req -in tls.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 3650 -extfile names -out tls.crt")
        return {"tls.crt": self.read("tls.crt"), "tls.key": self.read("tls.key"), "ca.crt": self.read("ca.crt")}


def secret(certificate, authority):
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/tls",
        "metadata": {"name": certificate["spec"]["secretName"], "namespace": certificate["metadata"]["namespace"]},
        "data": authority.issue(certificate["spec"]["dnsNames"]),
    }


def adapt(document, ca):
    kind = document["kind"]
    if kind in ("ValidatingWebhookConfiguration", "MutatingWebhookConfiguration"):
        for webhook in document["webhooks"]:
            webhook["clientConfig"]["caBundle"] = ca
    elif kind == "CustomResourceDefinition":
        webhook = document["spec"].get("conversion", {}).get("webhook")
        if webhook:
            webhook["clientConfig"]["caBundle"] = ca
    elif kind == "Deployment":
        for container in document["spec"]["template"]["spec"]["containers"]:
            container.update(image=image, imagePullPolicy="IfNotPresent")
    document["metadata"].get("annotations", {}).pop("cert-manager.io/inject-ca-from", None)


documents = [d for d in yaml.safe_load_all(fill(sys.stdin.read())) if d]
with tempfile.TemporaryDirectory() as folder:
    authority = Authority(folder)
    ready = [d for d in documents if not d["apiVersion"].startswith("cert-manager.io/")]
    for document in ready:
        adapt(document, authority.read("ca.crt"))
    ready += [secret(d, authority) for d in documents if d["kind"] == "Certificate"]
ready.sort(key=lambda d: FIRST.index(d["kind"]) if d["kind"] in FIRST else len(FIRST))
with open(output, "w") as file:
    yaml.safe_dump_all(ready, file, sort_keys=False)
