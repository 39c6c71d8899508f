/**
 * From flags and environment to a client of the cluster. Secrets are read here, and nowhere printed.
 */
import { KafkaJsClient } from "@effect-ktables/kafkajs"
import { Config, Effect, FileSystem, type Layer, Option, Redacted, type Terminal } from "effect"
import * as Prompt from "effect/cli/Prompt"
import { TerminalCapabilities } from "effect/cli/TerminalCapabilities"
import type { KafkaClient } from "effect-ktables/KafkaClient"
import type { Tls } from "effect-ktables/TransportSupport"
import { type CommandFailed, failed, fromError } from "./failure.ts"
import { millisOf, type Settings } from "./settings.ts"

export type Environment = FileSystem.FileSystem | Prompt.Environment

/** A secret of the environment; none where it is not set, or empty. */
const secret = (variable: string): Effect.Effect<Option.Option<Redacted.Redacted<string>>> =>
  Config.option(Config.Redacted(variable)).pipe(
    Effect.orDie,
    Effect.map(Option.filter((value) => Redacted.value(value) !== ""))
  )

/** What is given in place of a path may be the secret itself, so it is not repeated. */
const read = Effect.fnUntraced(function* (flag: string, path: string) {
  const files = yield* FileSystem.FileSystem
  return yield* Effect.mapError(files.readFileString(path), () =>
    failed("usage", `the file of --${flag} cannot be read`)
  )
})

const readOptional = (flag: string, path: Option.Option<string>) =>
  Option.isNone(path) ? Effect.succeed(undefined) : read(flag, path.value)

const passwordOf = Effect.fnUntraced(function* ({ passwordFile }: Settings, username: string) {
  if (Option.isSome(passwordFile)) {
    const text = yield* read("password-file", passwordFile.value)
    // Editors and `echo` end a file with a line break.
    return Redacted.make(text.replace(/\r?\n$/, ""))
  }
  const given = yield* secret("KAFKA_PASSWORD")
  if (Option.isSome(given)) return given.value
  const { canPrompt } = yield* TerminalCapabilities
  if (!canPrompt) {
    return yield* failed("usage", `${username} has no password: set KAFKA_PASSWORD, or give --password-file`)
  }
  return yield* Prompt.run(Prompt.Hidden({ message: `Password of ${username}` }))
})

const tlsOf = Effect.fnUntraced(function* (settings: Settings) {
  const ca = yield* readOptional("tls-ca", settings.tlsCa)
  const cert = yield* readOptional("tls-cert", settings.tlsCert)
  const key = yield* readOptional("tls-key", settings.tlsKey)
  if ((cert === undefined) !== (key === undefined)) {
    return yield* failed("usage", "a certificate needs its key: give both --tls-cert and --tls-key")
  }
  if (ca === undefined && cert === undefined) return settings.tls
  const passphrase = yield* secret("KAFKA_TLS_PASSPHRASE")
  return {
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined || key === undefined ? {} : { cert, key: Redacted.make(key) }),
    ...(Option.isSome(passphrase) ? { passphrase: passphrase.value } : {})
  } satisfies Tls
})

const saslOf = Effect.fnUntraced(function* (settings: Settings) {
  if (Option.isNone(settings.username)) {
    if (Option.isNone(settings.sasl)) return undefined
    return yield* failed("usage", `--sasl ${settings.sasl.value} needs a name: give --username, or set KAFKA_USERNAME`)
  }
  const username = settings.username.value
  const mechanism = Option.getOrElse(settings.sasl, () => "scram-sha-512" as const)
  return { mechanism, username, password: yield* passwordOf(settings, username) }
})

/** A client of the cluster that the settings name. It connects when it is first used. */
export const client = Effect.fnUntraced(function* (
  settings: Settings
): Effect.fn.Return<Layer.Layer<KafkaClient>, CommandFailed | Terminal.QuitError, Environment> {
  const ssl = yield* tlsOf(settings)
  const sasl = yield* saslOf(settings)
  return yield* Effect.try({
    try: () =>
      KafkaJsClient.layer({
        brokers: settings.brokers,
        clientId: "ktables",
        ssl,
        sasl,
        requestTimeout: millisOf(settings)
      }),
    catch: (error) => fromError(error as Error & { readonly _tag: string })
  })
})
