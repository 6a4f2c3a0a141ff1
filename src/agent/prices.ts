import type { AttemptRecord } from '../core/entry.ts';
import { HoldfastError } from '../core/errors.ts';
import { costMicrosOf, type ModelPrice } from '../core/price.ts';

/** The prices by model id. Throws `HoldfastError` with code `agent_invalid` for one that is negative or no number. */
export function pricesOf(agentName: string, prices: Readonly<Record<string, ModelPrice>>): ReadonlyMap<string, ModelPrice> {
  for (const [model, price] of Object.entries(prices)) {
    for (const name of ['input', 'output', 'cachedInput', 'reasoning'] as const) {
      const value = price[name] ?? (name === 'cachedInput' || name === 'reasoning' ? 0 : undefined);
      if (value === undefined || !Number.isFinite(value) || value < 0) {
        throw new HoldfastError('agent_invalid', `the price ${name} of ${model} of agent ${agentName} is ${String(price[name])}; it must be a number, not negative: so much for a million tokens`);
      }
    }
  }
  return new Map(Object.entries(prices));
}

/** The attempt with what it cost, where that is known. The price is that of the model which the provider says has answered, or else of the one that was asked. */
export function withCost(record: AttemptRecord, prices: ReadonlyMap<string, ModelPrice>, modelAsked?: string): AttemptRecord {
  const price = prices.get(record.model ?? '') ?? prices.get(modelAsked ?? '');
  const costMicros = costMicrosOf(record.usage, price);
  return costMicros === null ? record : { ...record, costMicros };
}
