//! Mix-minus: everybody hears the sum of all others, clipped at full scale.
//!
//! The sum is taken once per frame; a listener's own part is subtracted again, so n parties cost n additions and n
//! subtractions. Deliberately absent: level control, who takes part.

/// Samples of one mixing frame: 20 ms at 8 kHz.
pub const FRAME: usize = 160;

/// One frame's sum.
#[derive(Clone, Debug)]
pub struct Mixer {
    sum: [i32; FRAME],
}

impl Default for Mixer {
    fn default() -> Self {
        Self { sum: [0; FRAME] }
    }
}

impl Mixer {
    /// Adds one party's frame. Up to 65,536 parties cannot overflow the sum.
    pub fn add(&mut self, frame: &[i16; FRAME]) {
        for (sum, sample) in self.sum.iter_mut().zip(frame) {
            *sum += i32::from(*sample);
        }
    }

    /// What the party that spoke `own` hears.
    pub fn minus(&self, own: &[i16; FRAME], heard: &mut [i16; FRAME]) {
        for ((heard, sum), own) in heard.iter_mut().zip(&self.sum).zip(own) {
            *heard = clipped(*sum - i32::from(*own));
        }
    }

    /// What somebody who only listens hears.
    pub fn all(&self, heard: &mut [i16; FRAME]) {
        for (heard, sum) in heard.iter_mut().zip(&self.sum) {
            *heard = clipped(*sum);
        }
    }
}

fn clipped(sum: i32) -> i16 {
    sum.clamp(i32::from(i16::MIN), i32::from(i16::MAX)) as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_hears_the_others_and_never_itself() {
        let parties = [[100; FRAME], [2000; FRAME], [-30_000; FRAME]];
        let mut mixer = Mixer::default();
        parties.iter().for_each(|party| mixer.add(party));
        let mut heard = [0; FRAME];
        for (own, others) in parties.iter().zip([-28_000, -29_900, 2100]) {
            mixer.minus(own, &mut heard);
            assert_eq!(heard, [others; FRAME]);
        }
        mixer.all(&mut heard);
        assert_eq!(heard, [-27_900; FRAME]);
    }

    #[test]
    fn too_loud_a_sum_is_clipped_at_both_ends() {
        for (sample, end) in [(i16::MAX, i16::MAX), (i16::MIN, i16::MIN)] {
            let mut mixer = Mixer::default();
            (0..4).for_each(|_| mixer.add(&[sample; FRAME]));
            let mut heard = [0; FRAME];
            mixer.minus(&[sample; FRAME], &mut heard);
            assert_eq!(heard, [end; FRAME]);
        }
    }
}
