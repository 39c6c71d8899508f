/** What a person sees of an error that is printed. */
import { assert, describe, it } from "@effect/vitest"
import { inspect } from "node:util"
import { Codec, KafkaError, TableError } from "effect-ktables"

const topic = "prices"
const broker = "kafka-1:9092"
const brokers = [{ address: broker, cause: "connect ECONNREFUSED" }]
const detail = "some detail"

const refused = new KafkaError.BrokerError({ broker, request: "Fetch", code: 29, topic, partition: 2 })

/** One of every class. */
const errors = {
  TopicNotFound: new TableError.TopicNotFound({ topic }),
  NotAuthorized: new TableError.NotAuthorized({ topic, operation: "Read", detail }),
  Unreachable: new TableError.Unreachable({ topic, waited: 30_000, brokers }),
  AuthenticationRefused: new TableError.AuthenticationRefused({ topic, broker, detail }),
  InvalidTopic: new TableError.InvalidTopic({ topic, detail }),
  InvalidOption: new TableError.InvalidOption({ topic, option: "fetch.maxWait", given: "NaN", expected: "a time" }),
  PolicyMismatch: new TableError.PolicyMismatch({
    topic,
    setting: "cleanup.policy",
    expected: "compact",
    actual: "delete",
    harm: "entries go"
  }),
  NotStarted: new TableError.NotStarted({ topic, reason: new TableError.TopicNotFound({ topic }) }),
  CatchUpTimeout: new TableError.CatchUpTimeout({ topic, waited: 1, replayed: 2, target: 3, away: [] }),
  DecodeError: new TableError.DecodeError({ topic, partition: 0, offset: 1, part: "key", detail }),
  DataLoss: new TableError.DataLoss({ topic, partition: 0, consumedTo: 120, resetTo: 80, detail }),
  TopicRecreated: new TableError.TopicRecreated({ topic, previous: "a", current: "b" }),
  KeysMoved: new TableError.KeysMoved({ topic, detail }),
  TopicDeleted: new TableError.TopicDeleted({ topic }),
  UnreadableRecords: new TableError.UnreadableRecords({ topic, partition: 0, offset: 1, kind: "Corrupt", detail }),
  TableTooLarge: new TableError.TableTooLarge({ topic, limit: "maxEntries", allowed: 10, counted: 11 }),
  ClusterRefused: new TableError.ClusterRefused({ topic, detail, cause: refused }),
  BarrierTimeout: new TableError.BarrierTimeout({
    topic,
    waited: 5,
    waitingFor: [{ partition: 1, reason: "behind", position: 2, target: 3 }]
  }),
  OffsetNotInLog: new TableError.OffsetNotInLog({ topic, partition: 0, offset: 8, logEnd: 7 }),
  ReadTimeout: new TableError.ReadTimeout({ topic, waited: 1, replayed: 2, target: 3, reasons: [detail] }),
  NotAwaitable: new TableError.NotAwaitable({ topic, detail }),
  TableClosed: new TableError.TableClosed({ topic }),
  DerivationFailed: new TableError.DerivationFailed({
    table: "map(prices)",
    key: "1",
    cause: new TypeError("of a function")
  }),
  ReaderDied: new TableError.ReaderDied({ topic, cause: new TypeError("of the codec's") }),
  EncodeError: new TableError.EncodeError({ topic, part: "value", detail }),
  WriteRejected: new TableError.WriteRejected({ topic, partition: 0, reason: "MESSAGE_TOO_LARGE", detail }),
  WriteOutcomeUnknown: new TableError.WriteOutcomeUnknown({ topic, partition: 0, detail }),
  WriteSuperseded: new TableError.WriteSuperseded({ topic, partition: 0, offset: 1, owner: 2 }),
  WriteTimeout: new TableError.WriteTimeout({ topic, partition: 0, waited: 1, detail }),
  WriterClosed: new TableError.WriterClosed({ topic }),
  CompressionUnavailable: new TableError.CompressionUnavailable({ topic, compression: "zstd", detail }),
  SetAllError: new TableError.SetAllError({
    topic,
    failures: [{ key: "apple", error: new TableError.WriterClosed({ topic }) }],
    acks: []
  }),
  ConnectionFailed: new KafkaError.ConnectionFailed({
    broker,
    request: "connect",
    detail,
    cause: new Error("ECONNRESET")
  }),
  RequestTimedOut: new KafkaError.RequestTimedOut({ broker, request: "Fetch", timeout: 5000 }),
  AuthenticationFailed: new KafkaError.AuthenticationFailed({ broker, detail }),
  BrokersUnreachable: new KafkaError.BrokersUnreachable({ brokers }),
  BrokerError: refused,
  UnsupportedRequest: new KafkaError.UnsupportedRequest({ broker, request: "Fetch", detail }),
  MalformedAnswer: new KafkaError.MalformedAnswer({ broker, request: "Fetch", detail }),
  CodecError: new Codec.CodecError({ detail, isTransient: false })
}

describe("an error that is printed", () => {
  it("is of every class that there is", () => {
    const classes = Object.values({ ...TableError, ...KafkaError, CodecError: Codec.CodecError })
      .filter((exported) => typeof exported === "function" && exported.prototype instanceof Error)
      .map((exported) => (exported as { readonly name: string }).name)
    assert.deepStrictEqual(Object.keys(errors).sort(), classes.sort())
  })

  for (const [name, error] of Object.entries(errors)) {
    it(`shows message, place and fields of ${name}`, () => {
      const printed = inspect(error)
      assert.include(printed, `${name}: ${error.message}`)
      assert.include(printed, "errors.test.ts")
      for (const [field, value] of Object.entries(error)) {
        if (field === "name" || field === "message" || field === "stack") continue
        assert.include(printed, `${field}: `)
        if (typeof value === "string") assert.include(printed, value)
      }
    })
  }

  it("shows its cause as whole as itself", () => {
    assert.include(inspect(errors.ClusterRefused), `cause: ${refused.name}: ${refused.message}`)
    assert.include(inspect(errors.ReaderDied), "TypeError: of the codec's")
    assert.include(inspect(errors.SetAllError), "WriterClosed: the writer of prices is closed")
    assert.include(inspect({ nested: { in: { depth: errors.DataLoss } } }), `[DataLoss: ${errors.DataLoss.message}]`)
  })
})
