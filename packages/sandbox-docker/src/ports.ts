/**
 * Which image id stands for which image name. A name is pinned at its first use; from then on the pinned id runs,
 * whatever the name points to later, until an operator pins anew.
 */
export interface ImagePins {
  /** The pinned id, or null when the name was never used. */
  read(ref: string): Promise<string | null>;
  /** Records the id a name is pinned to. */
  write(ref: string, imageId: string): Promise<void>;
}

/** Pins that live as long as the process. */
export class MemoryImagePins implements ImagePins {
  readonly #pins = new Map<string, string>();

  read(ref: string): Promise<string | null> {
    return Promise.resolve(this.#pins.get(ref) ?? null);
  }

  write(ref: string, imageId: string): Promise<void> {
    this.#pins.set(ref, imageId);
    return Promise.resolve();
  }
}
