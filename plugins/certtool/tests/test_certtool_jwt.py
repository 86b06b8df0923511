"""``crypto jwt``: another library believes what is signed here and the reverse; the layout; tokens that are none."""

import base64
import hmac
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from jwcrypto import jwk as jwcrypto_jwk
from jwcrypto import jwt as jwcrypto_jwt

Run = Callable[..., subprocess.CompletedProcess[str]]
OpenSSL = Callable[..., str]


def part(text: str | bytes) -> str:
    return base64.urlsafe_b64encode(text.encode() if isinstance(text, str) else text).decode().rstrip("=")


def test_members_stand_in_the_order_of_the_token(mica: Run) -> None:
    claims = {"sub": "svc.example", "aud": "https://ca.example/1.0/sign", "sans": ["svc.example"], "exp": 1931247113}
    token = jwt.encode(claims, "x" * 32, headers={"kid": "k1"})
    result = mica("crypto", "jwt", "inspect", "--insecure", input=token + "\n")
    header = json.loads(base64.urlsafe_b64decode(token.split(".")[0] + "=="))
    expected = {"header": header, "payload": claims, "signature": token.split(".")[2]}
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == json.dumps(expected, indent=2) + "\n"


def test_without_insecure_it_refuses(mica: Run) -> None:
    result = mica("crypto", "jwt", "inspect", input="a.b.c")
    assert (result.returncode, result.stdout) == (2, "")
    assert "flag '--insecure' is required" in result.stderr


def test_what_a_terminal_would_act_upon_is_escaped(mica: Run) -> None:
    payload = json.dumps({"sub": "a\x1b[2J\u202e\x9b ü"}, ensure_ascii=False)
    result = mica("crypto", "jwt", "inspect", "--insecure", input=f"e30.{part(payload)}.")
    assert '"sub": "a\\u001b[2J\\u202e\\u009b ü"' in result.stdout


@pytest.mark.parametrize(
    ("token", "message"),
    [
        ("", "stdin: is empty"),
        ("abc", "stdin: is not a JWT: it has 1 parts and not three"),
        ("a.b.c.d.e", "stdin: is not a JWT: it has 5 parts and not three"),
        ("!.e30.", "its header is not base64url"),
        ("e30.e.", "its payload is not base64url"),
        ("e30.e30.=", "its signature is not base64url"),
        ("e30.e30.é", "its signature is not base64url"),
        (part("x") + ".e30.", "its header is not JSON"),
        (part("[]") + ".e30.", "its header is not a JSON object"),
        ("e30." + part(b"\xff") + ".", "its payload is not JSON"),
        ("e30." + part('{"a": NaN}') + ".", "NaN is no number in JSON"),
        ("e30." + part('{"a": 1, "a": 2}') + ".", "a member stands there twice"),
        ("e30." + part("[" * 100_000) + ".", "its payload is not JSON"),
        ("e30." + part('{"a": ' + "9" * 5000 + "}") + ".", "its payload is not JSON"),
    ],
)
def test_what_is_no_token_is_told_in_one_line(mica: Run, token: str, message: str) -> None:
    result = mica("crypto", "jwt", "inspect", "--insecure", input=token)
    assert (result.returncode, result.stdout) == (5, "")
    assert message in result.stderr
    assert result.stderr.count("\n") <= 2


ISSUED = ("--iss", "joe@svc.example", "--aud", "https://svc.example", "--sub", "auth")
MEANT = ("--iss", "joe@svc.example", "--aud", "https://svc.example")
KINDS = {
    "ES256": ["EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
    "ES384": ["EC", "-pkeyopt", "ec_paramgen_curve:P-384"],
    "ES512": ["EC", "-pkeyopt", "ec_paramgen_curve:P-521"],
    "RS256": ["RSA"],
    "PS384": ["RSA"],
    "EdDSA": ["ED25519"],
}


@pytest.fixture
def keys(tmp_path: Path, stock: Callable[..., Path]) -> Callable[..., jwcrypto_jwk.JWK]:
    """Makes ``key`` and ``pub`` with openssl; the key as another library has it."""

    def keys(alg: str = "ES256") -> jwcrypto_jwk.JWK:
        stock(f"genpkey -algorithm {' '.join(KINDS[alg])} -out key", "pkey -in key -pubout -out pub")
        return jwcrypto_jwk.JWK.from_pem((tmp_path / "key").read_bytes())

    return keys


def read_elsewhere(token: str, key: jwcrypto_jwk.JWK, alg: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and claims, as jwcrypto verifies them."""
    theirs = jwcrypto_jwt.JWT(jwt=token.strip(), key=key, algs=[alg], expected_type="JWS")
    return json.loads(theirs.header), json.loads(theirs.claims)


def made_elsewhere(key: jwcrypto_jwk.JWK, alg: str, **claims: object) -> str:
    """A token that jwcrypto signed; ``joe``'s for ``svc``, unless the claims say otherwise."""
    now = int(time.time())
    usual = {"iss": "joe@svc.example", "aud": ["https://svc.example"], "sub": "auth", "exp": now + 60, "nbf": now}
    theirs = jwcrypto_jwt.JWT(header={"alg": alg}, claims={k: v for k, v in {**usual, **claims}.items() if v})
    theirs.make_signed_token(key)
    return str(theirs.serialize())


@pytest.mark.parametrize("alg", KINDS)
def test_another_library_believes_what_is_signed_here_and_the_reverse(
    mica: Run, keys: Callable[..., jwcrypto_jwk.JWK], alg: str
) -> None:
    theirs = keys(alg)
    chosen = ("--alg", alg) if alg == "PS384" else ()
    token = mica("crypto", "jwt", "sign", "--key", "key", *ISSUED, "--exp", "5m", *chosen).stdout
    header, claims = read_elsewhere(token, theirs, alg)
    assert header == {"alg": alg, "kid": theirs.thumbprint(), "typ": "JWT"}
    assert (claims["iss"], claims["aud"], claims["sub"]) == ("joe@svc.example", "https://svc.example", "auth")
    assert claims["exp"] - claims["iat"] == 300
    assert claims["nbf"] == claims["iat"]
    assert re.fullmatch("[0-9a-f]{64}", claims["jti"])
    assert list(claims) == sorted(claims)
    for text in (token, made_elsewhere(theirs, alg)):
        shown = mica("crypto", "jwt", "verify", "--key", "pub", *MEANT, input=text)
        assert (shown.returncode, shown.stderr) == (0, "")
        assert shown.stdout == mica("crypto", "jwt", "inspect", "--insecure", input=text).stdout


@pytest.mark.parametrize(("alg", "bits"), [("HS256", 256), ("HS384", 384), ("HS512", 512)])
def test_symmetric_keys_are_jwks_of_the_type_oct(mica: Run, tmp_path: Path, alg: str, bits: int) -> None:
    theirs = jwcrypto_jwk.JWK.generate(kty="oct", size=bits)
    (tmp_path / "oct").write_text(theirs.export())
    token = mica("crypto", "jwt", "sign", "--key", "oct", "--alg", alg, *ISSUED, "--exp", "5m").stdout
    assert read_elsewhere(token, theirs, alg)[0] == {"alg": alg, "typ": "JWT"}
    assert mica("crypto", "jwt", "verify", "--key", "oct", *MEANT, input=token).returncode == 0


def test_an_encrypted_jwk_signs_as_its_members_say(mica: Run, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("secret")
    given = ("--password-file", "password")
    mica("crypto", "jwk", "create", "--kty", "RSA", "--alg", "PS256", "--kid", "mine", "pub", "key", *given)
    token = mica("crypto", "jwt", "sign", "--key", "key", *given, *ISSUED, "--exp", "1h").stdout
    theirs = jwcrypto_jwk.JWK.from_json((tmp_path / "pub").read_text())
    assert read_elsewhere(token, theirs, "PS256")[0] == {"alg": "PS256", "kid": "mine", "typ": "JWT"}
    assert mica("crypto", "jwt", "verify", "--key", "pub", *MEANT, input=token).returncode == 0


def test_a_key_uri_signs(mica: Run, keys: Callable[..., jwcrypto_jwk.JWK], tmp_path: Path) -> None:
    theirs = keys()
    token = mica("crypto", "jwt", "sign", "--key", "file:key", *ISSUED, "--exp", "1h").stdout
    assert read_elsewhere(token, theirs, "ES256")


def test_the_key_of_a_set_is_found_by_its_id(mica: Run, tmp_path: Path) -> None:
    one, two = (jwcrypto_jwk.JWK.generate(kty="EC", crv="P-256", kid=kid) for kid in ("one", "two"))
    for name, exported in (("set", "export_private"), ("public", "export_public")):
        (tmp_path / name).write_text(json.dumps({"keys": [json.loads(getattr(key, exported)()) for key in (one, two)]}))
    token = mica("crypto", "jwt", "sign", "--jwks", "set", "--kid", "two", *ISSUED, "--exp", "1h").stdout
    assert read_elsewhere(token, two, "ES256")[0]["kid"] == "two"
    for flags, code in ((("--kid", "two"), 0), ((), 0), (("--kid", "one"), 1), (("--kid", "three"), 5)):
        result = mica("crypto", "jwt", "verify", "--jwks", "public", *flags, *MEANT, input=token)
        assert result.returncode == code, flags


def test_a_certificate_vouches_for_the_key(mica: Run, openssl: OpenSSL, tmp_path: Path, keys: Any) -> None:
    theirs = keys()
    openssl("req", "-x509", "-key", "key", "-subj", "/CN=x", "-days", "2", "-out", "crt")
    x5c = ("--x5c-cert", "crt", "--x5c-key", "key")
    token = mica("crypto", "jwt", "sign", *x5c, *ISSUED, "--exp", "5m").stdout
    header, _ = read_elsewhere(token, theirs, "ES256")
    (tmp_path / "back").write_bytes(base64.b64decode(header["x5c"][0]))
    assert len(header["x5c"]) == 1
    assert "kid" not in header
    assert openssl("x509", "-inform", "DER", "-in", "back") == (tmp_path / "crt").read_text()
    openssl("genpkey", "-algorithm", "ED25519", "-out", "other")
    result = mica("crypto", "jwt", "sign", "--x5c-cert", "crt", "--x5c-key", "other", *ISSUED, "--exp", "5m")
    assert (result.returncode, result.stdout) == (5, "")
    assert "other: is not the key of the first certificate in crt" in result.stderr


def test_a_certificate_that_nobody_would_believe_is_refused(
    mica: Run, openssl: OpenSSL, tmp_path: Path, keys: Callable[..., jwcrypto_jwk.JWK]
) -> None:
    keys()
    made = ("req", "-x509", "-key", "key", "-subj", "/CN=x")
    (tmp_path / "old").write_bytes(_expired((tmp_path / "key").read_bytes()))
    openssl(*made, "-out", "ca", "-addext", "keyUsage=critical,keyCertSign")
    for name, message in (("old", "is not valid now"), ("ca", "is not for signatures")):
        x5c = ("--x5c-cert", name, "--x5c-key", "key", *ISSUED, "--exp", "5m")
        result = mica("crypto", "jwt", "sign", *x5c)
        assert (result.returncode, result.stdout) == (5, "")
        assert message in result.stderr
        assert mica("crypto", "jwt", "sign", *x5c, "--subtle").returncode == 0


@pytest.mark.parametrize(
    ("given", "seconds"),
    [("1931246813", 1931246813), ("2031-03-14T09:26:53Z", 1931246813), ("2031-03-14T10:26:53+01:00", 1931246813)],
)
def test_times_are_unix_seconds_or_rfc_3339(mica: Run, keys: Any, given: str, seconds: int) -> None:
    theirs = keys()
    token = mica("crypto", "jwt", "sign", "--key", "key", *ISSUED, "--exp", given, "--nbf", "-1h", "--iat", "0").stdout
    _, claims = read_elsewhere(token, theirs, "ES256")
    assert (claims["exp"], claims["iat"]) == (seconds, 0)
    assert abs(time.time() - 3600 - claims["nbf"]) < 60


def test_claims_come_from_a_file_or_stdin_and_flags_win(mica: Run, keys: Any, tmp_path: Path) -> None:
    theirs = keys()
    later = int(time.time()) + 90
    said = {"iss": "file", "sub": "file", "aud": ["a", "b"], "exp": later, "jti": "1", "own": {"nested": [1, "é"]}}
    (tmp_path / "claims").write_text(json.dumps(said))
    for source, data in (("claims", b""), ("-", json.dumps(said).encode())):
        token = mica("crypto", "jwt", "sign", "--key", "key", "--sub", "flag", source, input=data).stdout
        _, claims = read_elsewhere(token, theirs, "ES256")
        assert {**claims, "nbf": 0, "iat": 0} == {**said, "sub": "flag", "nbf": 0, "iat": 0}


def test_several_audiences_and_headers_of_ones_own(mica: Run, keys: Any) -> None:
    theirs = keys()
    more = ("--aud", "other", "--header", "typ=at+jwt", "--header", "cty=x=y", "--kid", "mine", "--jti", "7")
    token = mica("crypto", "jwt", "sign", "--key", "key", *ISSUED, *more, "--exp", "5m").stdout
    header, claims = read_elsewhere(token, theirs, "ES256")
    assert header == {"alg": "ES256", "cty": "x=y", "kid": "mine", "typ": "at+jwt"}
    assert (claims["aud"], claims["jti"]) == (["https://svc.example", "other"], "7")


SIGN = ("sign", "--key", "key", *ISSUED)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("sign", *ISSUED, "--exp", "5m"), 2, "flag '--key' is required"),
        (("sign", "--key", "key", "--exp", "5m"), 2, "flag '--iss' is required unless the '--subtle' flag is given"),
        (SIGN, 2, "flag '--exp' is required unless the '--subtle' flag is given"),
        ((*SIGN, "--exp", "-5m"), 2, "flag '--exp' lies in the past"),
        ((*SIGN, "--exp", "5m", "--nbf", "1h"), 2, "flag '--exp' lies before '--nbf'"),
        ((*SIGN, "--exp", "soon"), 2, "'soon' is neither"),
        ((*SIGN, "--exp", "99999999999999"), 2, "is too late a second"),
        ((*SIGN, "--exp", "5m", "--alg", "none"), 2, "invalid value 'none' for flag '--alg'"),
        ((*SIGN, "--exp", "5m", "--alg", "nOnE", "--subtle"), 2, "invalid value 'none' for flag '--alg'"),
        ((*SIGN, "--exp", "5m", "--alg", "RS256"), 2, "flag '--alg RS256' does not suit the key in key"),
        ((*SIGN, "--exp", "5m", "--alg", "HS256"), 2, "hint: it suits ES256"),
        ((*SIGN, "--exp", "5m", "--header", "alg=none"), 2, "flag '--header' cannot set 'alg'"),
        ((*SIGN, "--exp", "5m", "--header", "crit=x"), 2, "flag '--header' cannot set 'crit'"),
        ((*SIGN, "--exp", "5m", "--header", "x"), 2, "invalid value 'x' for flag '--header'"),
        ((*SIGN, "--exp", "5m", "--jwks", "set"), 2, "flag '--key' is incompatible with '--jwks'"),
        ((*SIGN, "--exp", "5m", "--x5c-cert", "crt"), 2, "'--x5c-cert' and '--x5c-key' require each other"),
        (("sign", "--jwks", "set", *ISSUED, "--exp", "5m"), 2, "flag '--jwks' requires the '--kid' flag"),
        (("sign", "--jwks", "key", "--kid", "a", *ISSUED, "--exp", "5m"), 5, "key: is not a JWK set"),
        ((*SIGN, "--exp", "5m", "pub"), 5, "pub: is not JSON"),
        ((*SIGN, "--exp", "5m", "none"), 5, "none: there is no such file"),
        ((*SIGN, "--exp", "5m", "list"), 5, "list: is not a JSON object"),
        ((*SIGN, "--exp", "5m", "nbf"), 5, "the claim nbf must be a number"),
        (("sign", "--key", "pub", *ISSUED, "--exp", "5m"), 5, "pub: is a public key, not a private key"),
        (("sign", "--key", "short", *ISSUED, "--exp", "5m"), 1, "short: the key is too short to sign with"),
        (("sign", "--key", "enc", *ISSUED, "--exp", "5m"), 5, "enc: use or key_ops say that the key is not to sign"),
        (("sign", "--key", "odd", *ISSUED, "--exp", "5m"), 5, "odd: alg does not suit the key"),
        (("verify", "--key", "pub"), 2, "flag '--iss' is required unless the '--subtle' flag is given"),
        (("verify", *MEANT), 2, "flag '--key' is required"),
        (("verify", "--key", "pub", *MEANT), 5, "stdin: is empty"),
    ],
)
def test_what_is_wrong_is_told_and_nothing_is_printed(
    mica: Run, tmp_path: Path, keys: Any, arguments: tuple[str, ...], code: int, message: str
) -> None:
    keys()
    jwk = jwcrypto_jwk.JWK.generate(kty="EC", crv="P-256")
    members = json.loads(jwk.export())
    (tmp_path / "short").write_text('{"kty": "oct", "k": "c2VjcmV0"}')
    (tmp_path / "enc").write_text(json.dumps({**members, "use": "enc"}))
    (tmp_path / "odd").write_text(json.dumps({**members, "alg": "HS256"}))
    (tmp_path / "list").write_text("[]")
    (tmp_path / "nbf").write_text('{"nbf": "now"}')
    result = mica("crypto", "jwt", *arguments)
    assert (result.returncode, result.stdout) == (code, "")
    assert message in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("claims", "flags", "message"),
    [
        ({"exp": 1}, (), "the token has expired: exp is 1"),
        ({"nbf": 2**34}, (), "the token is not valid yet"),
        ({"exp": None}, (), "the token has no exp, which it must have"),
        ({}, ("--aud", "other"), "the token is for ['https://svc.example'], not for 'other'"),
        ({"iss": "jo"}, (), "the token is from 'jo', not from 'joe@svc.example'"),
        ({}, ("--key", "other"), "the signature of the token is not by this key"),
        ({}, ("--key", "rsa"), "the token is signed with 'ES256', and the key is for RS256"),
        ({}, ("--key", "oct"), "the token is signed with 'ES256', and the key is for HS256"),
    ],
)
def test_a_token_that_does_not_hold_is_refused(
    mica: Run,
    stock: Callable[..., Path],
    tmp_path: Path,
    keys: Any,
    claims: dict[str, object],
    flags: Any,
    message: str,
) -> None:
    token = made_elsewhere(keys(), "ES256", **claims)
    stock("ecparam -name prime256v1 -genkey -noout -out other", "genpkey -algorithm RSA -out rsa")
    (tmp_path / "oct").write_text(jwcrypto_jwk.JWK.generate(kty="oct", size=256).export())
    result = mica("crypto", "jwt", "verify", "--key", "pub", *MEANT, *flags, input=token)
    assert (result.returncode, result.stdout) == (1, "")
    assert message in result.stderr


def test_a_minute_is_forgiven_and_subtle_compares_what_is_given_only(mica: Run, keys: Any) -> None:
    theirs = keys()
    now = int(time.time())
    late = made_elsewhere(theirs, "ES256", exp=now - 30)
    assert mica("crypto", "jwt", "verify", "--key", "pub", *MEANT, input=late).returncode == 0
    bare = made_elsewhere(theirs, "ES256", exp=None, aud=None, iss=None)
    assert mica("crypto", "jwt", "verify", "--key", "pub", "--subtle", input=bare).returncode == 0
    assert mica("crypto", "jwt", "verify", "--key", "pub", "--subtle", "--aud", "x", input=bare).returncode == 1


def test_the_token_never_chooses_the_algorithm(mica: Run, keys: Any, tmp_path: Path) -> None:
    """RFC 8725 §3.1: no signature, the public key as an HMAC secret, unknown extensions, a key in the header."""
    theirs = keys()
    payload = part(json.dumps({"iss": "joe@svc.example", "aud": "https://svc.example", "exp": 2**34}))
    pem = (tmp_path / "pub").read_bytes()
    own = jwcrypto_jwk.JWK.generate(kty="EC", crv="P-256")
    hostile = []
    for header in ({"alg": "none"}, {"alg": "None"}, {"alg": ""}, {}, {"alg": None}, {"alg": ["ES256"]}):
        hostile.append(f"{part(json.dumps(header))}.{payload}.")
    signed = f"{part(json.dumps({'alg': 'HS256'}))}.{payload}"
    hostile.append(f"{signed}.{part(hmac.digest(pem, signed.encode(), 'sha256'))}")
    for header in ({"alg": "ES256", "crit": ["exp"], "exp": 1}, {"alg": "ES256", "b64": False, "crit": ["b64"]}):
        hostile.append(f"{part(json.dumps(header))}.{payload}.{'A' * 86}")
    embedded = {"alg": "ES256", "jwk": json.loads(own.export_public())}
    inside = jwcrypto_jwt.JWT(header=embedded, claims=json.loads(base64.urlsafe_b64decode(payload + "==")))
    inside.make_signed_token(own)
    hostile.append(inside.serialize())
    head, _, signature = made_elsewhere(theirs, "ES256").rpartition(".")
    hostile.append(f"{head}.")
    hostile.append(f"{head}.{'A' * len(signature)}")
    for token in hostile:
        result = mica("crypto", "jwt", "verify", "--key", "pub", *MEANT, input=token)
        assert (result.returncode, result.stdout) == (1, ""), token
        assert "Traceback" not in result.stderr


def test_inspect_imports_no_cryptography_and_a_public_key_no_jose_library(keys: Any, tmp_path: Path) -> None:
    keys()
    script = "import sys; from mica.cli import main\nsys.argv[0] = 'mica'\ntry: main()\nfinally: print(*sys.modules)"
    for arguments, unwanted in (
        (("jwt", "inspect", "--insecure"), {"cryptography", "jwt", "jwcrypto"}),
        (("key", "public", "key"), {"jwt", "jwcrypto", "pluggy"}),
    ):
        command = [sys.executable, "-c", script, "crypto", *arguments]
        result = subprocess.run(command, cwd=tmp_path, input=b"e30.e30.", capture_output=True, check=True)
        modules = set(result.stdout.decode().split())
        assert "mica_certtool" in modules
        assert modules & unwanted == set()


def _expired(key_pem: bytes) -> bytes:
    """A certificate for the key that has expired, in PEM."""
    key = serialization.load_pem_private_key(key_pem, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    builder = x509.CertificateBuilder().subject_name(x509.Name([])).issuer_name(x509.Name([])).serial_number(1)
    start = datetime(2020, 1, 1, tzinfo=UTC)
    builder = builder.not_valid_before(start).not_valid_after(start + timedelta(days=1)).public_key(key.public_key())
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
