"""The commands as data: where each one lives, and its one line of help.

A command's module is imported when the command is called, and not before.
"""

#: path → (module:attribute, one-line help)
COMMANDS: dict[str, tuple[str, str]] = {
    "ca init": ("mica.cli.ca.init:init", "Create a root, an intermediate and the configuration of a new CA."),
    "ca enable-ssh": ("mica.cli.ca.enable_ssh:enable_ssh", "Make a CA that is there sign SSH certificates as well."),
    "ca serve": ("mica.cli.ca.serve:serve", "Run the CA."),
    "ca import-step": ("mica.cli.ca.migration.command:import_step", "Make the configuration from a step-ca's files."),
    "ca check": ("mica.cli.ca.check:check", "Check a configuration and report every mistake in it."),
    "ca schema": ("mica.cli.ca.schema:schema", "Print the JSON Schema of ca.toml, for editors."),
    "ca bootstrap": ("mica.cli.ca.trust:bootstrap", "Make this machine trust a CA."),
    "ca health": ("mica.cli.ca.trust:health", "Ask the CA whether it is well."),
    "ca root": ("mica.cli.ca.trust:root", "Fetch and check the root certificate with a given fingerprint."),
    "ca roots": ("mica.cli.ca.trust:roots", "Fetch all current root certificates."),
    "ca federation": ("mica.cli.ca.trust:federation", "Fetch all federated root certificates."),
    "ca certificate": ("mica.cli.ca.issue:certificate", "Make a key and get a certificate for it."),
    "ca sign": ("mica.cli.ca.issue:sign", "Get a certificate for a certificate signing request."),
    "ca token": ("mica.cli.ca.token:token", "Make a one-time token for one operation."),
    "ca renew": ("mica.cli.ca.renew:renew", "Renew a certificate and keep its key."),
    "ca rekey": ("mica.cli.ca.renew:rekey", "Renew a certificate with a new key."),
    "ca revoke": ("mica.cli.ca.revoke:revoke", "Revoke a certificate."),
    "ca provisioner list": ("mica.cli.ca.provisioner:list_", "List the provisioners of the CA."),
    "ca provisioner add": ("mica.cli.ca.provisioner_edit:add", "Add a provisioner to the configuration."),
    "ca provisioner remove": ("mica.cli.ca.provisioner_edit:remove", "Remove a provisioner from the configuration."),
    "ca provisioner update": ("mica.cli.ca.provisioner_edit:update", "Change a provisioner in the configuration."),
    "ca certs list": ("mica.cli.ca.certs:list_", "List the certificates on record."),
    "ca certs show": ("mica.cli.ca.certs:show", "Show one certificate on record."),
    "ssh certificate": ("mica.cli.ssh.certificate:certificate", "Make a key and get an SSH certificate for it."),
    "ssh login": ("mica.cli.ssh.signin:login", "Get an SSH certificate into the SSH agent."),
    "ssh inspect": ("mica.cli.ssh.inspection:inspect", "Show SSH certificates."),
    "ssh fingerprint": ("mica.cli.ssh.fingerprints:fingerprint", "Print the fingerprints of SSH keys."),
    "ssh renew": ("mica.cli.ssh.renew:renew", "Renew a host's SSH certificate and keep its key."),
    "ssh rekey": ("mica.cli.ssh.renew:rekey", "Renew a host's SSH certificate with a new key."),
    "ssh revoke": ("mica.cli.ssh.revoke:revoke", "Revoke SSH certificates."),
    "ssh krl": ("mica.cli.ssh.revocationlist:krl", "Fetch the list of what is revoked, for sshd."),
    "ssh needs-renewal": ("mica.cli.ssh.expiry:needs_renewal_", "Tell whether an SSH certificate is due."),
    "ssh list": ("mica.cli.ssh.listing:list_", "List what the SSH agent holds."),
    "ssh logout": ("mica.cli.ssh.logout:logout", "Remove certified keys from the SSH agent."),
    "ssh config": ("mica.cli.ssh.config:config", "Configure ssh, or sshd, for the CA's certificates."),
    "ssh check-host": ("mica.cli.ssh.check_host:check_host", "Tell whether the CA has certified a host."),
    "ssh hosts": ("mica.cli.ssh.hosts:hosts", "List the hosts that have a certificate."),
    "ssh proxycommand": ("mica.cli.ssh.proxycommand:proxycommand", "Connect ssh with a host, as its ProxyCommand."),
    "plugin list": ("mica.cli.plugins.listing:list_", "List the plugins that are installed, and what they bring."),
    "plugin new": ("mica.cli.plugins.scaffold:new", "Write the project of a new plugin, which passes its own tests."),
    "plugin check": ("mica.cli.plugins.checking:check", "Tell whether an installed plugin keeps its contracts."),
    "context list": ("mica.cli.context_commands:list_", "List the contexts, the current one first."),
    "context current": ("mica.cli.context_commands:current", "Print the name of the current context."),
    "context select": ("mica.cli.context_commands:select", "Make a context the current one."),
    "context remove": ("mica.cli.context_commands:remove", "Remove a context and its files."),
    "oauth": ("mica.cli.oauth.command:oauth", "Sign in with an identity provider, and print its tokens."),
    "path": ("mica.cli.context_commands:path", "Print where mica keeps its files."),
    "completion bash": ("mica.cli.completion:bash", "Print the completion script for bash."),
    "completion zsh": ("mica.cli.completion:zsh", "Print the completion script for zsh."),
    "completion fish": ("mica.cli.completion:fish", "Print the completion script for fish."),
    "version": ("mica.cli.about:version", "Print the version."),
    "help": ("mica.cli.about:help_", "Show the help of a command: mica help ca sign."),
}

#: What groups are for. A group that has no command is not shown.
GROUPS: dict[str, str] = {
    "ca": "Run a certificate authority, and get certificates from one.",
    "ca provisioner": "Who may ask this CA for certificates.",
    "ca certs": "What this CA has issued.",
    "ca audit": "What this CA has done: the log of the plugin auditlog.",
    "ca policy": "Which names this CA's certificates may carry.",
    "context": "Several CAs on one machine: which one is meant.",
    "plugin": "Write plugins, check them, and see which are installed.",
    "completion": "Let the shell complete commands and flags.",
    "certificate": "Create, read and check certificate files.",
    "crypto": "Keys, tokens and other cryptographic objects.",
    "crypto jwt": "Create, read and check JSON Web Tokens.",
    "crypto jwk": "Create and read JSON Web Keys.",
    "crypto key": "Read and convert the files of keys.",
    "ssh": "Certificates and keys for SSH.",
}

#: Commands that found or describe a setting-up and therefore do not read ``defaults.json``.
WITHOUT_DEFAULTS = frozenset({"ca init", "ca bootstrap", "path", "version", "help"}) | {
    command for command in COMMANDS if command.startswith(("context ", "completion "))
}


def one_line(path: str) -> str:
    """What a command or group of core is for; empty for those of others."""
    return COMMANDS[path][1] if path in COMMANDS else GROUPS.get(path, "")
