"""A headless Chromium, and somebody in front of it who knows the pages of ``oidc-provider``."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selenium.common.exceptions import TimeoutException, WebDriverException
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.expected_conditions import element_to_be_clickable
from selenium.webdriver.support.wait import WebDriverWait

PATIENCE = 20.0
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-breakpad",
    # A Chromium that is spoken to through a pipe ends with it.
    "--remote-debugging-pipe",
    # The provider's pages ask for a font elsewhere, and no test needs the network.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1",
)  # fmt: skip
_CONSENT = "input[name=prompt][value=consent] ~ button"


@dataclass(frozen=True, slots=True)
class Browser:
    """Each method waits for the page that it needs, for a time."""

    driver: Chrome

    def forget(self) -> None:
        """Nobody is signed in anywhere."""
        self.driver.execute_cdp_cmd("Network.clearBrowserCookies", {})

    def open(self, url: str) -> None:
        self.driver.get(url)

    def log_in(self, user: str) -> None:
        self._find("input[name=login]").send_keys(user)
        self._find("input[name=password]").send_keys("any password")
        self._find("input[value=login] ~ button").click()

    def consent(self) -> None:
        self._find(_CONSENT).click()

    def deny(self) -> None:
        """The consent page has been left by its other way out."""
        self._find(_CONSENT)
        self._find("a[href$=abort]").click()

    def sign_in(self, url: str, user: str) -> None:
        """``user`` has logged in, whoever was before, and has let mica know who they are."""
        self.forget()
        self.open(url)
        self.log_in(user)
        self.consent()

    def enter_code(self, url: str, code: str) -> None:
        """The device's code has been typed; what it is for remains to be confirmed."""
        self.forget()
        self.open(url)
        self._find("input[name=user_code][type=text]").send_keys(code)
        self._find("button[form='op.deviceInputForm']").click()

    def confirm(self) -> None:
        """The device may go on."""
        self._find("button[form='op.deviceConfirmForm'][autofocus]").click()

    def abort(self) -> None:
        """The device has been turned away."""
        self._find("button[form='op.deviceConfirmForm'][name=abort]").click()

    def read(self, words: str) -> None:
        """``words`` are on the page."""
        self._wait(lambda driver: words in driver.find_element(By.TAG_NAME, "body").text, words)

    def _find(self, selector: str) -> WebElement:
        found: WebElement = self._wait(element_to_be_clickable((By.CSS_SELECTOR, selector)), selector)
        return found

    def _wait(self, condition: Callable[[Any], Any], what: str) -> Any:
        # While a page gives way to the next one, the driver knows neither.
        waiting = WebDriverWait(self.driver, PATIENCE, 0.05, ignored_exceptions=[WebDriverException])
        try:
            return waiting.until(condition)
        except TimeoutException:
            raise AssertionError(f"no {what} at {self.driver.current_url}: {self.driver.page_source}") from None


@contextmanager
def chromium(program: str, driver: str, setpriv: str, folder: Path, trusted: str) -> Iterator[Browser]:
    """A new Chromium that believes the server with the key ``trusted``; it and its driver are gone afterwards."""
    options = ChromeOptions()
    options.binary_location = program
    for flag in (*FLAGS, f"--user-data-dir={folder}", f"--ignore-certificate-errors-spki-list={trusted}"):
        options.add_argument(flag)
    # It ends with this process, however that ends; and a process group of its own is ended as a whole.
    bound = folder / "chromedriver"
    bound.write_text(f'#!/bin/sh\nexec {setpriv} --pdeathsig KILL {driver} "$@"\n')
    bound.chmod(0o755)
    service = Service(str(bound), log_output=str(folder / "chromedriver.log"), popen_kw={"start_new_session": True})
    try:
        running = Chrome(options, service)
        running.set_page_load_timeout(PATIENCE)
        yield Browser(running)
        with suppress(WebDriverException):
            running.quit()
    finally:
        if process := getattr(service, "process", None):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
