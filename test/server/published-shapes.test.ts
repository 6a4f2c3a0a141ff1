import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { z } from 'zod';
import { foldTranscript } from '../../src/core/transcript.ts';
import { operationView } from '../../src/core/operation.ts';
import { sessionView } from '../../src/feed/session-view.ts';
import { foldTurn } from '../../src/feed/turn-view.ts';
import { entrySchema } from '../../src/server/entry-schema.ts';
import { messageSchema, operationSchema, sessionSchema, turnSchema } from '../../src/server/reply-schemas.ts';
import { happen, happeningsOf, newborn } from '../support/random-history.ts';
import { seedOf } from '../support/seed.ts';

/** Fails where the shape says less, or something else, than what is sent: what a schema does not know it leaves out. */
function expectShaped(shape: z.ZodType, value: unknown): void {
  const sent: unknown = JSON.parse(JSON.stringify(value));
  expect(shape.parse(sent)).toEqual(sent);
}

describe('what is published of a session', () => {
  it('has the shapes that the OpenAPI document says, whatever happened', () => {
    fc.assert(fc.property(fc.nat(11), happeningsOf(100), (kind, history) => {
      const pure = newborn(kind);
      for (const happening of history) {
        if (happen(pure, happening)) expectShaped(sessionSchema, sessionView(pure.session));
      }
      const { session, log, operations } = pure;
      for (const entry of log) expectShaped(entrySchema, entry);
      for (const message of foldTranscript(log, session.visible)) expectShaped(messageSchema, message);
      for (const turnId of new Set(log.flatMap((entry) => ('turnId' in entry && entry.turnId !== undefined ? [entry.turnId] : [])))) expectShaped(turnSchema, foldTurn(turnId, log));
      for (const operation of operations.values()) expectShaped(operationSchema, operationView(operation));
    }), { seed: seedOf('published shapes'), numRuns: Number(process.env['HOLDFAST_SHAPE_RUNS'] ?? 100) });
  });
});
