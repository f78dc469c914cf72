//! How many of very many commands are under way at a time. It must not know how they are sent.

/// How much of [`Client::run_all`](crate::blocking::Client::run_all) is under way at a time, and so how much
/// memory it takes.
///
/// ```
/// use redwire::Window;
///
/// // Values of a mebibyte or so: their replies take memory, too, and only the number of commands limits
/// // those.
/// let window = Window::new().commands(16);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Window {
    commands: usize,
    bytes: usize,
}

impl Window {
    /// 1000 commands, of 256 KiB in all.
    #[must_use]
    pub fn new() -> Self {
        Self { commands: 1000, bytes: 256 * 1024 }
    }

    /// How many commands are sent whose results were not yet taken; default 1000, at least 1. With few, the
    /// round trips tell; many replies take memory.
    #[must_use]
    pub fn commands(mut self, commands: usize) -> Self {
        self.commands = commands.max(1);
        self
    }

    /// How many bytes those commands have at most; default 256 KiB. A larger command is sent alone. With few,
    /// the round trips tell; from some MiB on, others who share the connection have to wait behind them.
    #[must_use]
    pub fn bytes(mut self, bytes: usize) -> Self {
        self.bytes = bytes;
        self
    }
}

impl Default for Window {
    fn default() -> Self {
        Self::new()
    }
}

/// The accounts of a window: commands go in by waves, each when half of the window is free.
#[derive(Debug)]
pub(crate) struct Wave {
    window: Window,
    commands: usize,
    bytes: usize,
    /// Whether it is being filled.
    open: bool,
}

impl Wave {
    pub(crate) fn new(window: Window) -> Self {
        Self { window, commands: 0, bytes: 0, open: true }
    }

    /// Whether another command may go in now.
    pub(crate) fn has_room(&mut self) -> bool {
        let half = self.commands <= self.window.commands / 2 && self.bytes <= self.window.bytes / 2;
        let full = self.commands >= self.window.commands || self.bytes >= self.window.bytes;
        self.open = self.commands == 0 || (half || self.open) && !full;
        self.open
    }

    /// A command of `size` bytes went in.
    pub(crate) fn handle_sent(&mut self, size: usize) {
        (self.commands, self.bytes) = (self.commands + 1, self.bytes + size);
    }

    /// The result of one of `size` bytes was taken.
    pub(crate) fn handle_taken(&mut self, size: usize) {
        (self.commands, self.bytes) = (self.commands - 1, self.bytes - size);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many go in now.
    fn fill(wave: &mut Wave, size: usize) -> usize {
        std::iter::from_fn(|| wave.has_room().then(|| wave.handle_sent(size))).count()
    }

    #[test]
    fn it_is_filled_by_halves() {
        let mut wave = Wave::new(Window::new().commands(10).bytes(1000));
        assert_eq!(fill(&mut wave, 1), 10);
        for _ in 0..4 {
            wave.handle_taken(1);
            assert_eq!(fill(&mut wave, 1), 0);
        }
        wave.handle_taken(1);
        assert_eq!(fill(&mut wave, 1), 5);
    }

    #[test]
    fn bytes_count_and_one_always_passes() {
        let mut wave = Wave::new(Window::new().commands(10).bytes(1000));
        assert_eq!(fill(&mut wave, 300), 4);
        (0..4).for_each(|_| wave.handle_taken(300));
        assert_eq!(fill(&mut wave, 5000), 1);
        wave.handle_taken(5000);
        let mut narrow = Wave::new(Window::new().commands(0).bytes(0));
        assert_eq!(fill(&mut narrow, 7), 1);
        narrow.handle_taken(7);
        assert_eq!(fill(&mut narrow, 7), 1);
    }
}
