/**
 * The flags that all commands share.
 */
import { Config, Option, Schema } from "effect"
import * as Flag from "effect/cli/Flag"
import { names } from "./formats.ts"
import { outputs } from "./output.ts"

export const mechanisms = ["plain", "scram-sha-256", "scram-sha-512"] as const

const file = (name: string, variable: string, description: string) =>
  Flag.String(name).pipe(
    Flag.withMetavar("file"),
    Flag.withFallbackConfig(Config.String(variable)),
    Flag.optional,
    Flag.withDescription(`${description} (${variable})`)
  )

export const flags = {
  brokers: Flag.String("brokers").pipe(
    Flag.withAlias("b"),
    Flag.withMetavar("host:port,…"),
    Flag.withFallbackConfig(Config.String("KAFKA_BROKERS")),
    Flag.withDefault("localhost:9092"),
    Flag.withDescription("Some brokers of the cluster (KAFKA_BROKERS)")
  ),
  tls: Flag.Boolean("tls").pipe(
    Flag.withFallbackConfig(Config.Boolean("KAFKA_TLS")),
    Flag.withDefault(false),
    Flag.withDescription("Speak TLS (KAFKA_TLS); implied by the flags below")
  ),
  tlsCa: file("tls-ca", "KAFKA_TLS_CA", "PEM of the authorities to trust, in place of the system's"),
  tlsCert: file("tls-cert", "KAFKA_TLS_CERT", "PEM of this client's certificate"),
  tlsKey: file("tls-key", "KAFKA_TLS_KEY", "PEM of its private key; a passphrase is taken from KAFKA_TLS_PASSPHRASE"),
  sasl: Flag.Literals("sasl", mechanisms).pipe(
    Flag.withFallbackConfig(Config.schema(Schema.Literals(mechanisms), "KAFKA_SASL_MECHANISM")),
    Flag.optional,
    Flag.withDescription("How to sign in (KAFKA_SASL_MECHANISM)")
  ),
  username: Flag.String("username").pipe(
    Flag.withMetavar("name"),
    Flag.withFallbackConfig(Config.String("KAFKA_USERNAME")),
    Flag.optional,
    Flag.withDescription("Who signs in (KAFKA_USERNAME); implies --sasl scram-sha-512")
  ),
  passwordFile: file(
    "password-file",
    "KAFKA_PASSWORD_FILE",
    "Where the password is; else KAFKA_PASSWORD, else it is asked for"
  ),
  key: Flag.Literals("key", names).pipe(
    Flag.withDefault("string" as const),
    Flag.withDescription("What keys are; bytes are given and shown in base64")
  ),
  value: Flag.Literals("value", names).pipe(Flag.withDefault("json" as const), Flag.withDescription("What values are")),
  output: Flag.Literals("output", outputs).pipe(
    Flag.withAlias("o"),
    Flag.optional,
    Flag.withDescription("How results are printed; table on a terminal, else ndjson")
  ),
  timeout: Flag.Finite("timeout").pipe(
    Flag.withMetavar("seconds"),
    Flag.withDefault(30),
    Flag.filter(
      (seconds) => seconds >= 0.1 && seconds <= 86_400,
      (seconds) => `${seconds}: expected seconds, at least 0.1 and at most a day`
    ),
    Flag.withDescription("How long to wait for brokers that do not answer")
  )
}

type ValueOf<F> = F extends Flag.Flag<infer A> ? A : never

export type Settings = { readonly [Name in keyof typeof flags]: ValueOf<(typeof flags)[Name]> }

/** A table for people, lines for programs. */
export const outputOf = (settings: Settings) =>
  Option.getOrElse(settings.output, () => (process.stdout.isTTY ? ("table" as const) : ("ndjson" as const)))

export const millisOf = (settings: Settings): number => settings.timeout * 1000
