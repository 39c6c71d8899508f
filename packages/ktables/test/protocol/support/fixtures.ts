/**
 * Answers kept as files: base64 by name, the name being request, version and scenario.
 */
import * as fs from "node:fs"

export interface Fixture {
  readonly answers: Readonly<Record<string, string>>
}

export interface BrokerFixture extends Fixture {
  readonly release: string
  readonly prefix: string
  readonly topicId?: string
  readonly highest: Readonly<Record<string, number>>
}

export const readFixture = <A extends Fixture>(name: string): A =>
  JSON.parse(fs.readFileSync(new URL(`../fixtures/${name}.json`, import.meta.url), "utf8"))

export const bytesOf = (fixture: Fixture, name: string): Buffer => {
  const answer = fixture.answers[name]
  if (answer === undefined) throw new Error(`no answer "${name}"`)
  return Buffer.from(answer, "base64")
}
