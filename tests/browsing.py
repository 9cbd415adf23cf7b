"""What tests of pages do to a browser."""

import json


def size(browser, width, scheme="light"):
    """Gives the window a width, which real windows cannot have below 500 pixels."""
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500},
    )
    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia",
        {"features": [{"name": "prefers-color-scheme", "value": scheme}]},
    )


def find(browser, selector):
    return browser.find_element("css selector", selector)


def requests_of(browser):
    """Addresses that the page asked for since the last look at the log."""
    messages = [
        json.loads(entry["message"])["message"]
        for entry in browser.get_log("performance")
    ]
    return [
        message["params"]["request"]["url"]
        for message in messages
        if message["method"] == "Network.requestWillBeSent"
    ]
