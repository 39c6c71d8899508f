/** What the server answers: JSON, and errors in one form. */
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import type { HttpServerResponse as Response } from "effect/http/HttpServerResponse"
import { isJson, textOf } from "./wire.ts"

/** What is wrong with a request, or with answering it. */
export interface Refusal {
  readonly status: number
  readonly error: string
  readonly message: string
  /** Seconds after which it may go well. */
  readonly retryAfter?: number
}

const common = { "cache-control": "no-cache", "x-content-type-options": "nosniff" }

export const json = (
  text: string,
  options: { readonly status?: number; readonly headers?: Record<string, string> } = {}
): Response =>
  HttpServerResponse.text(text, {
    status: options.status ?? 200,
    contentType: "application/json",
    headers: { ...common, ...options.headers }
  })

/** A value: text goes out in one write with its head. */
export const value = (bytes: Uint8Array, headers: Record<string, string>): Response => {
  const text = textOf(bytes)
  headers["cache-control"] = common["cache-control"]
  if (text !== undefined && isJson(text))
    return HttpServerResponse.text(text, { contentType: "application/json", headers })
  // What is said to be JSON is taken for nothing else.
  headers["x-content-type-options"] = common["x-content-type-options"]
  return text === undefined
    ? HttpServerResponse.uint8Array(bytes, { contentType: "application/octet-stream", headers })
    : HttpServerResponse.text(text, { contentType: "text/plain", headers })
}

export const empty = (status: number, headers: Record<string, string>): Response =>
  HttpServerResponse.empty({ status, headers: { ...common, ...headers } })

export const refused = (
  { error, message, retryAfter, status }: Refusal,
  headers: Record<string, string> = {}
): Response =>
  json(JSON.stringify({ error, message }), {
    status,
    headers: retryAfter === undefined ? headers : { ...headers, "retry-after": String(retryAfter) }
  })

export const badRequest = (message: string): Refusal => ({ status: 400, error: "BadRequest", message })
export const notFound = (message: string): Refusal => ({ status: 404, error: "NotFound", message })
