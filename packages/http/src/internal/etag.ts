/** A tag that names the text or the bytes of a body: two mixed sums of 32 bits each. */
export const etagOf = (body: string | Uint8Array): string => {
  let a = 0xdeadbeef
  let b = 0x41c6ce57
  for (let i = 0; i < body.length; i++) {
    const unit = typeof body === "string" ? body.charCodeAt(i) : body[i]!
    a = Math.imul(a ^ unit, 2654435761)
    b = Math.imul(b ^ unit, 1597334677)
  }
  a = Math.imul(a ^ (a >>> 16), 2246822507) ^ Math.imul(b ^ (b >>> 13), 3266489909)
  b = Math.imul(b ^ (b >>> 16), 2246822507) ^ Math.imul(a ^ (a >>> 13), 3266489909)
  return `"${(a >>> 0).toString(16).padStart(8, "0")}${(b >>> 0).toString(16).padStart(8, "0")}"`
}

/** Whether an `If-None-Match` names the tag. */
export const isNamed = (header: string, etag: string): boolean =>
  header.split(",").some((one) => {
    const tag = one.trim()
    return tag === "*" || tag === etag || tag === `W/${etag}`
  })
