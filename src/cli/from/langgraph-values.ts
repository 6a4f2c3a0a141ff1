import { HoldfastError } from '../../core/errors.ts';
import { isDeeperThan, type JsonValue } from '../../core/json.ts';
import { isObject } from '../../exchange/chat/chat-parts.ts';
import { base64, depthMax, readMsgpack } from './msgpack.ts';

/**
 * A value as LangGraph's savers store it, with the name of how they did: `json` (both, the JavaScript ones always), `msgpack` (the Python ones: `JsonPlusSerializer` in langgraph/checkpoint/serde/jsonplus.py), `bytes`, `null`. Nothing of it is ever run: an
 * object of a class is read as what it was made of. Throws `HoldfastError` code `not_msgpack` or `not_readable`.
 */
export function readStored(type: string | null, stored: unknown): JsonValue {
  if (stored === null || type === 'empty' || type === 'null') return null;
  const bytes = typeof stored === 'string' ? Buffer.from(stored) : stored;
  if (!(bytes instanceof Uint8Array)) throw new HoldfastError('not_readable', `it is stored as a ${typeof bytes}, which is not read here`);
  if (type === 'msgpack') return readMsgpack(bytes, readExtension);
  if (type === 'bytes' || type === 'bytearray') return base64(bytes);
  // Older savers of JavaScript call it `Checkpoint`.
  if (type !== null && type !== 'json' && type !== 'Checkpoint') throw new HoldfastError('not_readable', `it is stored as ${JSON.stringify(type)}, which is not read here`);
  const value = parsed(bytes);
  if (isDeeperThan(value, depthMax)) throw new HoldfastError('not_readable', `it nests deeper than ${depthMax}`);
  return value;
}

function parsed(bytes: Uint8Array): JsonValue {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)) as JsonValue;
  } catch (error) {
    throw new HoldfastError('not_readable', `it is not JSON: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** Extension types of the Python serializer: each holds `(module, name, what it was made of, …)`. */
function readExtension(code: number, data: Uint8Array, nested: (data: Uint8Array) => JsonValue): JsonValue {
  // What a channel that is stored as differences holds in all, now and then.
  if (code === 7) return nested(data);
  if (code < 0 || code > 5) return { extension: code, data: base64(data) };
  const made = nested(data);
  if (!Array.isArray(made)) return made;
  const [module, name, from] = made as readonly JsonValue[];
  if (typeof module !== 'string' || typeof name !== 'string') return made;
  // A UUID, a date, a member of an enumeration; a set or a path.
  if (code === 0 || code === 1 || code === 3) return from ?? null;
  return { lc: 2, type: 'constructor', id: [...module.split('.'), name], kwargs: isObject(from) ? from : {} };
}
