import type { Runtime } from "@rumi/sandbox";
import type { Engine, EngineImage } from "./engine.ts";
import type { ImagePins } from "./ports.ts";
import type { ImageFacts } from "./probe.ts";

/** The image that runs for each runtime: by id, pinned at first use. */
export class PinnedImages {
  readonly #engine: Engine;
  readonly #pins: ImagePins;
  readonly #refs: Readonly<Record<Runtime, string>>;
  readonly #known = new Map<string, { readonly image: EngineImage; pinned: boolean }>();

  constructor(engine: Engine, pins: ImagePins, refs: Readonly<Record<Runtime, string>>) {
    this.#engine = engine;
    this.#pins = pins;
    this.#refs = refs;
  }

  /** Looks both runtimes' images up; pins nothing. @throws EngineError */
  async look(): Promise<Record<Runtime, ImageFacts>> {
    const [python, node] = await Promise.all([this.#look(this.#refs.python), this.#look(this.#refs.node)]);
    return { python, node };
  }

  /** The image of a runtime that a look has found, pinned now if it never was; null when there is none. */
  async use(runtime: Runtime): Promise<EngineImage | null> {
    const ref = this.#refs[runtime];
    const known = this.#known.get(ref);
    if (known === undefined) return null;
    if (!known.pinned) {
      known.pinned = true;
      await this.#pins.write(ref, known.image.id);
    }
    return known.image;
  }

  /** Forgets what was found: the next look asks again. */
  forget(runtime: Runtime): void {
    this.#known.delete(this.#refs[runtime]);
  }

  async #look(ref: string): Promise<ImageFacts> {
    const [pin, named] = await Promise.all([this.#pins.read(ref), this.#engine.image(ref)]);
    const image = pin === null || pin === named?.id ? named : await this.#engine.image(pin);
    if (image === null) this.#known.delete(ref);
    else this.#known.set(ref, { image, pinned: pin !== null });
    return {
      ref,
      imageId: pin ?? named?.id ?? null,
      present: image !== null,
      moved: pin !== null && named !== null && named.id !== pin,
      pinLost: pin !== null && image === null,
    };
  }
}
