"""The zones keep the contracts of every policy and of every listener."""

from collections.abc import Iterable

from mica import Context, ExtensionContext
from mica.testing.listening import ListenerContract
from mica.testing.policies import PolicyContract
from mica.testing.samples import Sample, ssh_sample, x509_sample
from mica_zones import Zones, ZonesConfig

CONFIG = ZonesConfig(allow=("example", "Harbour.Test."))


class TestZonesPolicy(PolicyContract):
    """Names of two zones, and no others."""

    def build(self, context: ExtensionContext) -> Zones:
        return Zones(CONFIG, context)

    def passing(self) -> Iterable[Sample]:
        return [
            x509_sample("svc.example", "a.b.example"),
            x509_sample("harbour.test", common_name="harbour.test"),
            ssh_sample("host", "build1.example"),
            ssh_sample("user", "ann", "ann@elsewhere.test"),
        ]

    def refused(self) -> Iterable[Sample]:
        return [
            x509_sample("svc.test"),
            x509_sample("notexample"),
            x509_sample("svc.example.evil.test"),
            x509_sample("10.0.0.1"),
            x509_sample("ann@svc.example"),
            x509_sample("https://svc.example/"),
            x509_sample("svc.example", common_name="svc.test"),
            ssh_sample("host", "svc.test"),
        ]


class TestZonesListener(ListenerContract):
    """It tells what became of the names."""

    def build(self, context: Context) -> Zones:
        return Zones(CONFIG, context)
