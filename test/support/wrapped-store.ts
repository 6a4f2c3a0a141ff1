import type { Store } from '../../src/store/store.ts';

export type StoreOverrides = { readonly [Name in keyof Store]?: Store[Name] extends (...given: infer Given) => infer Result ? (inner: Store, ...given: Given) => Result : never };

/** A store that hands everything to another but what is overridden; an override is given the store beneath. */
export function wrappedStore(inner: Store, overrides: StoreOverrides): Store {
  return new Proxy(inner, {
    get(target, name) {
      const override = overrides[name as keyof Store] as ((inner: Store, ...given: unknown[]) => unknown) | undefined;
      if (override !== undefined) return (...given: unknown[]) => override(target, ...given);
      const member: unknown = Reflect.get(target, name, target);
      return typeof member === 'function' ? (member as (...given: unknown[]) => unknown).bind(target) : member;
    },
  });
}
