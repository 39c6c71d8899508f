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

/**
 * Headers go into those of the response, which was made here and nobody else has: given with its body they are copied into an
 * object that V8 reads slowly.
 */
const text = (body: string, contentType: string, headers: Record<string, string>, status = 200): Response => {
  const response = HttpServerResponse.text(body, { status, contentType })
  Object.assign(response.headers, headers)
  return response
}

export const json = (
  body: string,
  options: { readonly status?: number; readonly headers?: Record<string, string> } = {}
): Response => text(body, "application/json", { ...common, ...options.headers }, options.status)

/** A value, as JSON's text or as bytes: text goes out in one write with its head. */
export const value = (written: string | Uint8Array, headers: Record<string, string>): Response => {
  const body = typeof written === "string" ? written : textOf(written)
  headers["cache-control"] = common["cache-control"]
  if (body !== undefined && (body === written || isJson(body))) return text(body, "application/json", headers)
  // What is said to be JSON is taken for nothing else.
  headers["x-content-type-options"] = common["x-content-type-options"]
  return body === undefined
    ? HttpServerResponse.uint8Array(written as Uint8Array, { contentType: "application/octet-stream", headers })
    : text(body, "text/plain", headers)
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
