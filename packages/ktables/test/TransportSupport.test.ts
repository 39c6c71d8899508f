import { assert, describe, it } from "@effect/vitest"
import { Duration, Redacted } from "effect"
import {
  behindTaggedFields,
  clientOptions,
  explainTlsError,
  formatAddress,
  parseBrokers
} from "effect-ktables/TransportSupport"
import { InvalidOption } from "effect-ktables/TableError"

const behind = (bytes: ReadonlyArray<number>): ReadonlyArray<number> | undefined => {
  const rest = behindTaggedFields(Buffer.from(bytes))
  return rest === undefined ? undefined : [...rest]
}

const explain = (code: string): string | undefined =>
  explainTlsError(Object.assign(new Error("what Node says"), { code }))

describe("TransportSupport", () => {
  it("reads addresses from lists and from strings with commas, IPv6 in brackets, port 9092 unsaid", () => {
    const expected = [
      { host: "a.example", port: 9092 },
      { host: "10.0.0.1", port: 9094 },
      { host: "::1", port: 9093 }
    ]
    assert.deepStrictEqual(parseBrokers("a.example, 10.0.0.1:9094,[::1]:9093,"), expected)
    assert.deepStrictEqual(parseBrokers(["a.example", "10.0.0.1:9094,[::1]:9093"]), expected)
    assert.deepStrictEqual(parseBrokers(expected.map(formatAddress)), expected)
  })

  for (const text of ["", " , ", "host:", "host:0", "host:65536", "::1:9092", "kafka://host:9092", "host:port"]) {
    it(`refuses ${JSON.stringify(text)} in a sentence`, () => {
      assert.throws(() => parseBrokers(text), /brokers/)
    })
  }

  for (const [what, ssl, said] of [
    ["a certificate that is none", { cert: "PEM", key: Redacted.make("PEM") }, "PEM"],
    ["an authority of another type", { ca: 5 }, "options.ca"],
    ["a key of another type", { key: 123456 }, "options.key"],
    ["a version that Node does not know", { minVersion: "TLSv9" }, "TLSv9"],
    ["a server's name of another type", { servername: 5 }, "servername"],
    ["a check of the server's that is no function", { checkServerIdentity: true }, "checkServerIdentity"],
    ["a host of its own", { host: "elsewhere" }, "host"],
    ["a socket of its own", { socket: {} }, "socket"]
  ] as const) {
    it(`refuses TLS with ${what} when it is given, by name and without secrets`, () => {
      try {
        clientOptions({ brokers: "a:1", ssl: ssl as never }, [])
      } catch (error) {
        if (!(error instanceof InvalidOption)) throw error
        assert.deepInclude(error, { option: "ssl", given: "an object" })
        assert.include(error.expected, said)
        assert.notInclude(error.message, "123456")
        return
      }
      assert.fail("it was taken")
    })
  }

  it("takes TLS as Node does", () => {
    for (const ssl of [true, false, {}, { rejectUnauthorized: false }, { servername: "a", minVersion: "TLSv1.3" }]) {
      assert.deepStrictEqual(clientOptions({ brokers: "a:1", ssl: ssl as never }, []).transport.ssl, ssl as never)
    }
  })

  it("gives a broker that was connected to as long again as connecting may take", () => {
    const connectTimeout = (options: { readonly connectionTimeout?: Duration.Input }) =>
      Duration.toMillis(clientOptions({ brokers: "a:1", ...options }, []).protocol.connectTimeout)
    assert.strictEqual(connectTimeout({}), 10_000)
    assert.strictEqual(connectTimeout({ connectionTimeout: "1 second" }), 2000)
  })

  it("finds what is behind tagged fields, and says when they have no end", () => {
    assert.deepStrictEqual(behind([0]), [])
    assert.deepStrictEqual(behind([0, 7]), [7])
    assert.deepStrictEqual(behind([1, 0x80, 1, 2, 9, 9, 7]), [7])
    assert.deepStrictEqual(behind([2, 0, 0, 1, 1, 9, 7]), [7])
    assert.isUndefined(behind([]))
    assert.isUndefined(behind([1]))
    assert.isUndefined(behind([1, 0, 2, 9]))
    assert.isUndefined(behind([0xff, 0xff, 0xff, 0xff, 0xff, 0xff]))
  })

  it("explains the TLS errors that settings cause, and no others", () => {
    assert.include(explain("DEPTH_ZERO_SELF_SIGNED_CERT"), "not trusted")
    assert.include(explain("CERT_HAS_EXPIRED"), "clocks")
    assert.include(explain("ERR_TLS_CERT_ALTNAME_INVALID"), "another name")
    assert.include(explain("ERR_SSL_WRONG_VERSION_NUMBER"), "does not speak TLS")
    assert.include(explain("ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED"), "client certificate")
    assert.include(explain("ERR_SSL_NO_SHARED_CIPHER"), "TLS handshake failed")
    assert.isUndefined(explain("ECONNRESET"))
    assert.isUndefined(explainTlsError(undefined))
  })
})
