import { z } from 'zod';
import { stateScopes } from '../core/state.ts';
import { identity, json } from './entry-schema.ts';

/** The published shapes of state. */

const scope = z.enum(stateScopes);

export const stateValueSchema = z.object({
  scope, key: z.string(), value: json, version: z.int(), expiresAtMs: z.number().nullable(),
  provenance: z.object({ by: z.enum(['tool', 'api']), turnId: z.exactOptional(z.string()), callKey: z.exactOptional(z.string()), actor: z.exactOptional(identity), atMs: z.number() }),
  followsHistory: z.boolean(),
});

export const statePageSchema = z.object({ scope, followsHistory: z.boolean(), items: z.array(stateValueSchema), nextCursor: z.string().nullable() });

export const stateDeletedSchema = z.object({ scope, deleted: z.int() });

const values = z.record(z.string(), json);

export const stateSnapshotSchema = z.object({ conversation: values, actor: values, subject: values, agent: values, complete: z.boolean() });
