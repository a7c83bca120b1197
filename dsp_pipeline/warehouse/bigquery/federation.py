"""Google's credentials for a role of AWS, by workload identity federation: no key is stored anywhere.

A request to AWS that only the role can sign is shown to Google, which asks AWS whose it is and lends a service account
for an hour. Google's library finds the role's keys on a machine of EC2 and not in a container of ECS: there they are
told, always fresh, by an address that the container is given.
"""

from __future__ import annotations

import json
from typing import Any

from dsp_pipeline.errors import SettingsError
from dsp_pipeline.settings import Federation

_SCOPES = ("https://www.googleapis.com/auth/cloud-platform",)


def federated(federation: Federation) -> Any:
    """Credentials for Google's clients, which renew themselves. SettingsError if the configuration is none."""
    from google.auth import aws, exceptions

    class FromContainer(aws.AwsSecurityCredentialsSupplier):
        """The keys of the container's role; asked for once an hour, so there is nothing to remember."""

        def get_aws_security_credentials(self, context: Any, request: Any) -> Any:
            answer = request(url=federation.keys_at, method="GET")
            if answer.status != 200:
                raise exceptions.RefreshError(
                    f"ECS does not tell the keys of the task's role ({federation.keys_at}: {answer.status}); "
                    "has the task definition a task role?"
                )
            told = json.loads(answer.data)
            return aws.AwsSecurityCredentials(told["AccessKeyId"], told["SecretAccessKey"], told["Token"])

        def get_aws_region(self, context: Any, request: Any) -> str:
            return federation.region

    try:
        said = {name: value for name, value in json.loads(federation.configuration).items() if value}
        del said["credential_source"]
        return aws.Credentials.from_info(said, aws_security_credentials_supplier=FromContainer(), scopes=_SCOPES)
    except (ValueError, AttributeError, KeyError, TypeError, exceptions.GoogleAuthError) as error:
        raise SettingsError(
            f"DSP_GOOGLE_CREDENTIALS is no credential configuration for AWS ({type(error).__name__}: {error}); "
            "`gcloud iam workload-identity-pools create-cred-config … --aws` and Terraform write one."
        ) from error
