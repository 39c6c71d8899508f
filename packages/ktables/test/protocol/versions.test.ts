import { assert, describe, it } from "@effect/vitest"
import { errorName, isRetriableCode } from "../../src/internal/protocol/errorCodes.ts"
import { fetch } from "../../src/internal/protocol/messages/fetch.ts"
import { produce } from "../../src/internal/protocol/messages/produce.ts"
import { negotiate } from "../../src/internal/protocol/versions.ts"

const broker = (min: number, max: number) => new Map([[fetch.key, { min, max }]])

describe("the version of a request", () => {
  it("is the highest that both sides speak", () => {
    assert.deepStrictEqual(negotiate(fetch, broker(4, 18)), { _tag: "Version", version: 17 })
    assert.deepStrictEqual(negotiate(fetch, broker(0, 13)), { _tag: "Version", version: 13 })
  })

  it("stays at or below what the request itself can be carried in", () => {
    assert.deepStrictEqual(negotiate(fetch, broker(4, 18), 12), { _tag: "Version", version: 12 })
  })

  it("does not exist where the broker is too old or too new, or does not list the request", () => {
    for (const range of [broker(0, 10), broker(18, 20), broker(13, 18)]) {
      const negotiated = negotiate(fetch, range, 12)
      assert.strictEqual(negotiated._tag, "None")
    }
    assert.deepStrictEqual(negotiate(produce, broker(0, 18)), { _tag: "None", detail: "it does not list the request" })
  })

  it("follows the maximum of a broker whose minimum is lower than what it accepts", () => {
    const kafka41 = new Map([[produce.key, { min: 0, max: 13 }]])
    assert.deepStrictEqual(negotiate(produce, kafka41), { _tag: "Version", version: 13 })
  })
})

describe("error codes", () => {
  it("have the protocol's names and retriability", () => {
    assert.strictEqual(errorName(3), "UNKNOWN_TOPIC_OR_PARTITION")
    assert.strictEqual(errorName(-1), "UNKNOWN_SERVER_ERROR")
    assert.strictEqual(errorName(9999), "ERROR_9999")
    for (const code of [3, 5, 6, 14, 41, 74, 75, 78, 100, 103]) assert.isTrue(isRetriableCode(code), errorName(code))
    for (const code of [-1, 0, 1, 29, 36, 45, 47, 90, 9999]) assert.isFalse(isRetriableCode(code), errorName(code))
  })
})
