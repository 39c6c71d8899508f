/** A table with its texts: how its keys and values are written in URLs, bodies and events. */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Context from "effect/Context"
import * as Stream from "effect/Stream"
import * as Codec from "effect-ktables/Codec"
import type * as KafkaTable from "effect-ktables/KafkaTable"
import type * as Table from "effect-ktables/Table"
import type { AwaitOffsetError, WriteError } from "effect-ktables/TableError"
import type { TableTopic } from "effect-ktables/TableTopic"
import type { WriteAck } from "effect-ktables/WriteAck"
import { encodeText, printValue, textOf } from "./wire.ts"

/** What changes a table's topic. */
export interface Writer<K, V> {
  readonly set: (key: K, value: V) => Effect.Effect<WriteAck, WriteError>
  readonly delete: (key: K) => Effect.Effect<WriteAck, WriteError>
}

export interface Definition<K, V> {
  readonly name: string
  readonly topic: TableTopic<K, V, unknown, unknown>
  readonly table: Table.Table<K, V, unknown>
  readonly writer: Writer<K, V> | undefined
  readonly awaitOffset: ((ack: WriteAck) => Effect.Effect<void, AwaitOffsetError>) | undefined
  readonly history: ((key: K) => Stream.Stream<KafkaTable.HistoryItem<V>, KafkaTable.HistoryError, unknown>) | undefined
}

export class Served<K, V> {
  readonly name: string
  readonly table: Table.Table<K, V, unknown>
  readonly writer: Writer<K, V> | undefined
  readonly awaitOffset: Definition<K, V>["awaitOffset"]
  /** Reads what became of a key; undefined where there is no log for it. */
  readonly history: ((key: K) => Stream.Stream<KafkaTable.HistoryItem<V>, KafkaTable.HistoryError>) | undefined
  /** Whether keys are their own texts. */
  readonly hasTextKeys: boolean
  readonly #topic: TableTopic<K, V, unknown, unknown>
  readonly #context: Context.Context<unknown>

  /** @param context what the codecs and the reading of the log need */
  constructor(
    { awaitOffset, history, name, table, topic, writer }: Definition<K, V>,
    context: Context.Context<unknown>
  ) {
    this.name = name
    this.table = table
    this.writer = writer
    this.awaitOffset = awaitOffset
    this.history = history === undefined ? undefined : (key) => Stream.provideContext(history(key), context)
    this.hasTextKeys = (topic.key as Codec.Any) === Codec.string
    this.#topic = topic
    this.#context = context
  }

  get topicName(): string {
    return this.#topic.name
  }

  #run<A>(effect: Effect.Effect<A, Codec.CodecError, unknown>): Effect.Effect<A, Codec.CodecError> {
    return Exit.isExit(effect)
      ? (effect as Exit.Exit<A, Codec.CodecError>)
      : Effect.provideContext(effect, this.#context)
  }

  keyOf(text: string): Effect.Effect<K, Codec.CodecError> {
    return this.hasTextKeys
      ? (Exit.succeed(text) as Exit.Exit<K & string>)
      : this.#run(this.#topic.key.decode(encodeText(text)))
  }
  valueOf(bytes: Uint8Array): Effect.Effect<V, Codec.CodecError> {
    return this.#run(this.#topic.value.decode(bytes))
  }
  /** What a value is written as: text where that is JSON, as `JSON.stringify` prints it, and else its bytes. */
  writtenOf(value: V): Effect.Effect<string | Uint8Array, Codec.CodecError> {
    const { encode, json } = this.#topic.value
    return this.#run<string | Uint8Array>(json === undefined ? encode(value) : json(value))
  }

  /** The text of a key; undefined where it has none. */
  textOf(key: K): Effect.Effect<string | undefined> {
    const bytes = this.#run(this.#topic.key.encode(key))
    if (!Exit.isExit(bytes)) return Effect.map(bytes, textOf).pipe(Effect.orElseSucceed(() => undefined))
    const exit = bytes as Exit.Exit<Uint8Array, Codec.CodecError>
    return Exit.succeed(Exit.isSuccess(exit) ? textOf(exit.value) : undefined)
  }

  /** A value as it stands after its key; undefined where it does not encode. */
  printed(value: V): Effect.Effect<string | undefined> {
    const written = this.writtenOf(value)
    if (!Exit.isExit(written)) return Effect.map(written, print).pipe(Effect.orElseSucceed(() => undefined))
    const exit = written as Exit.Exit<string | Uint8Array, Codec.CodecError>
    return Exit.succeed(Exit.isSuccess(exit) ? print(exit.value) : undefined)
  }
}

const print = (written: string | Uint8Array): string => (typeof written === "string" ? written : printValue(written))

/** What an effect gives that is done already; undefined where it has to be run. */
export const done = <A>(effect: Effect.Effect<A>): { readonly value: A } | undefined => {
  if (!Exit.isExit(effect)) return undefined
  const exit = effect as Exit.Exit<A>
  return Exit.isSuccess(exit) ? exit : undefined
}
