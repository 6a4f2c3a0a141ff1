import { examineSession } from '../../../examine/examine-session.ts';
import { examineUsage, UsageTally } from '../../../examine/examine-usage.ts';
import { statusOf, dueAtMs } from '../../../core/session.ts';
import type { MakeCheck } from '../check.ts';

/** At rest all that the doctor looks at is sound: rows, logs, calls, branches, operations, outcomes, rows that belong to nothing, and what was used. */
export const doctorFindsNothing: MakeCheck = (violated) => ({
  async atRest({ database, time }) {
    await database.inSnapshot(time.nowMs, async (snapshot) => {
      for (const { table, count, what } of await snapshot.strayRows()) violated('G3', `${count} rows of table ${table} are ${what}`);
      const logged = new UsageTally();
      for await (const { columns, session, entries, ...work } of snapshot.sessions()) {
        for (const entry of entries) logged.add(session.tenant, entry);
        for (const { code, message } of examineSession({ columns, session }, entries, work)) violated(code === 'stuck' ? 'G7' : code === 'call_results' ? 'G8' : 'G3', `${session.id}: ${code}: ${message}`);
      }
      for (const { message } of (await examineUsage(snapshot, logged)).warnings) violated('G14', message);
    });
  },
});

/** Within so much time after everything is at rest, what was to be told and made in the background is. */
const backgroundMsMax = 120_000;

/** G7: when faults have stopped, nothing is left that is due, and nobody is left to be told of anything. */
export const nothingIsLeft: MakeCheck = (violated) => ({
  async atRest(world) {
    const { time, database, observer } = world;
    const untilMs = time.nowMs + backgroundMsMax;
    const isDone = (): boolean => database.eventsLeft() === 0 && observer.sessions.every(({ labelling }) => labelling === null);
    while (!isDone() && (await time.step(untilMs))) continue;
    if (!isDone()) violated('G3', `${database.eventsLeft()} hooks were not told within ${backgroundMsMax} ms; labels are being made in ${observer.sessions.filter(({ labelling }) => labelling !== null).map(({ id }) => id).join(', ')}`);
    for (const session of observer.sessions) {
      const due = dueAtMs(session);
      if (session.claim === null && session.turn !== null && due !== null && due + backgroundMsMax < time.nowMs) violated('G7', `${session.id} is ${statusOf(session)} and due since ${time.nowMs - due} ms`);
    }
  },
});
