/** What `GET /` answers by default: the live page, which may run its own script and ask its own server, and nothing else. */
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import { html, policy } from "./page.generated.ts"

export const livePage = HttpServerResponse.text(html, {
  contentType: "text/html; charset=utf-8",
  headers: {
    "cache-control": "no-cache",
    "content-security-policy": policy,
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff"
  }
})
