import type { System } from '../../core/system.ts';
import type { ChangeWriter, Write } from './change-writer.ts';
import type { Database } from './open-database.ts';

/** Writes in one statement; more wait for the next. */
const groupSizeMax = 32;
/** Statements under way at once: while they are, the next group gathers. */
const groupsMax = 2;

interface Member {
  readonly write: Write<unknown>;
  readonly resolve: (outcome: 'committed' | 'apart') => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Commits the changes of different sessions of one tenant that come at the same time as one statement, so that they share a round trip and a flush of the log. A session whose row somebody else has locked
 * is left out of it, so that none waits for another's lock. A group that fails changes nothing.
 */
export class GroupCommit {
  readonly #database: Database;
  readonly #writer: ChangeWriter;
  readonly #system: Pick<System, 'clock'>;
  /** By tenant, and by session. */
  readonly #waiting = new Map<string, Map<string, Member>>();
  #underWay = 0;
  #scheduled = false;

  constructor(database: Database, writer: ChangeWriter, system: Pick<System, 'clock'>) {
    this.#database = database;
    this.#writer = writer;
    this.#system = system;
  }

  /** `apart`: nothing of it was written here, and it is to be tried by itself. Rejects with the driver's error when nobody knows whether the group landed. */
  commit(write: Write<unknown>): Promise<'committed' | 'apart'> {
    return new Promise((resolve, reject) => {
      const { tenant, id } = write.change.session;
      const members = this.#waiting.get(tenant) ?? new Map<string, Member>();
      // Of two changes made of the same row one is too late; in one statement both would be taken to have landed.
      if (members.has(id)) {
        resolve('apart');
        return;
      }
      this.#waiting.set(tenant, members.set(id, { write, resolve, reject }));
      this.#schedule();
    });
  }

  #schedule(): void {
    if (this.#scheduled || this.#underWay >= groupsMax) return;
    this.#scheduled = true;
    this.#system.clock.soon(() => {
      this.#scheduled = false;
      this.#flush();
    });
  }

  /** The tenant that has waited longest comes first, and again last if it has more than fits. */
  #flush(): void {
    for (const [tenant, waiting] of [...this.#waiting]) {
      if (this.#underWay >= groupsMax) return;
      this.#waiting.delete(tenant);
      const members = [...waiting.values()];
      const rest = members.splice(groupSizeMax);
      if (rest.length > 0) this.#waiting.set(tenant, new Map(rest.map((member) => [member.write.change.session.id, member])));
      // Alone it needs no group.
      if (members.length === 1) members[0]?.resolve('apart');
      else void this.#send(members);
    }
    if (this.#waiting.size > 0) this.#schedule();
  }

  async #send(members: readonly Member[]): Promise<void> {
    this.#underWay += 1;
    try {
      const statement = this.#writer.group(members.map(({ write }) => write));
      const held = await this.#database.withClient((client) => this.#database.send(client, statement));
      const landed = new Set(held.map((row) => row['id']));
      for (const { write, resolve } of members) resolve(landed.has(write.change.session.id) ? 'committed' : 'apart');
    } catch (error) {
      // Whether it landed is for each to find out; each knows how.
      for (const { reject } of members) reject(error);
    } finally {
      this.#underWay -= 1;
      if (this.#waiting.size > 0) this.#schedule();
    }
  }
}
