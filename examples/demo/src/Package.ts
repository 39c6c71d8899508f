import { Schema } from "effect"
import { TableTopic } from "effect-ktables"

/** What is announced of a package: the value of its key, the package's name. */
export class Package extends Schema.Class<Package>("Package")({
  version: Schema.String,
  license: Schema.String,
  dependencies: Schema.Int
}) {}

export const packages = (name: string) => TableTopic.make({ name, key: Schema.String, value: Package, partitions: 3 })

/** The next minor version of a package. */
export const upgraded = (current: Package): Package => {
  const [major = "0", minor = "0"] = current.version.split(".")
  return new Package({ ...current, version: `${major}.${Number.parseInt(minor, 10) + 1 || 1}.0` })
}
